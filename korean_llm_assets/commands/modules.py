"""Which module has which command."""

import importlib
from typing import Any

MODULES = {
    "approve": "approve",
    "cancel": "runs",
    "check": "check",
    "clean": "clean",
    "compare": "compare",
    "completion": "completion",
    "costs": "costs",
    "demo": "demo",
    "env": "env",
    "explain": "explain",
    "logs": "runs",
    "new-model": "new_model",
    "release": "release",
    "remake": "remake",
    "rollback": "rollback",
    "serve": "serve",
    "start": "start",
    "status": "status",
    "takedown": "takedown",
    "trace": "trace",
    "ui": "ui",
    "wait": "runs",
}
"""Command -> its module in `commands`: there its parser (`add_parser`) and its work stand together."""


def add_parsers(commands: Any, name: str | None = None) -> None:
    """Let the module of this command say what it takes; where there is no such command, every module."""
    for module in [MODULES[name]] if name in MODULES else dict.fromkeys(MODULES.values()):
        importlib.import_module(f"korean_llm_assets.commands.{module}").add_parser(commands)
