"""Chat templates by model family, each with `{% generation %}` around what the assistant says.

The marks are what lets a trainer put the loss on the assistant's tokens only; the end-of-turn token is inside
them, so that the model learns to stop.
"""

import hashlib
from pathlib import Path

from trainers.contract import BadRequest

_FOLDER = Path(__file__).parent


def template_text(name: str) -> str:
    """The Jinja text of a packaged template.

    Raises:
        BadRequest: there is no template of that name.
    """
    path = _FOLDER / f"{name}.jinja"
    if not path.is_file():
        there_are = ", ".join(sorted(file.stem for file in _FOLDER.glob("*.jinja")))
        raise BadRequest(f"unknown chat template {name!r}; there are: {there_are}")
    return path.read_text(encoding="utf-8")


def template_hash(text: str) -> str:
    """Hex sha256 of a template's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def require_generation_marks(text: str | None, where: str) -> None:
    """Refuse a template that does not say which part the assistant speaks.

    Raises:
        BadRequest: no template, or one without `{% generation %}`.
    """
    if not text:
        raise BadRequest(f"{where} has no chat template; name one with base_model's key 'template'")
    if "{% generation" not in text and "{%- generation" not in text:
        raise BadRequest(
            f"the chat template of {where} has no {{% generation %}} marks, so the assistant's tokens cannot be told "
            "from the user's; put them around the assistant's content, or name a packaged template"
        )
