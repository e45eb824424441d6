"""`python -m korean_llm_assets <command>`: the platform on this machine, and operations on its runs."""

import argparse
import importlib
import sys

from korean_llm_assets.home import Home
from trainers.contract import StageError

_MODULES = {
    "approve": "approve",
    "cancel": "runs",
    "check": "check",
    "clean": "clean",
    "costs": "costs",
    "demo": "demo",
    "env": "env",
    "logs": "runs",
    "release": "release",
    "remake": "remake",
    "rollback": "rollback",
    "serve": "serve",
    "start": "start",
    "status": "runs",
    "takedown": "takedown",
    "ui": "ui",
    "wait": "runs",
}
"""Command -> its module in `commands`: there its parser (`add_parser`) and its work stand together."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="python -m korean_llm_assets",
        description="Korean language models from drops of text. All state lies below KOREAN_LLM_HOME (default: var).",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    # Importing Dagster takes a second: only the module of the command that is asked for is read.
    modules = [_MODULES[name] for name in words[:1] if name in _MODULES] or dict.fromkeys(_MODULES.values())
    for module in modules:
        importlib.import_module(f"korean_llm_assets.commands.{module}").add_parser(commands)
    options = parser.parse_args(words)
    home = Home.from_environment().prepare()
    try:
        code: int = options.run(options, home)
        return code
    except StageError as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return int(error.code)


if __name__ == "__main__":
    sys.exit(main())
