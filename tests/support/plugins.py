"""Plugins for tests: a package of one of each kind, and the digests that a request carries of them."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainers.contract import STAGES

FOLDER = Path(__file__).parent / "plugin_folder"
"""What KOREAN_LLM_PLUGINS names in tests; it holds the package `korean_extras`."""


def digests_of(stage: str, section: dict[str, Any]) -> dict[str, str]:
    """Digests of the plugins that a section names; none of a section that the stage itself is to refuse."""
    try:
        return STAGES[stage].section.model_validate(section).plugin_digests
    except ValidationError:
        return {}
