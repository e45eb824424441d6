"""Command `rollback`: the version under `previous` becomes the champion again."""

from argparse import Namespace
from typing import Any

from korean_llm_assets.home import Home
from korean_llm_assets.partitions.recipes import registered_name
from korean_llm_assets.resources import Platform


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("rollback", help="make the version under 'previous' the champion again")
    parser.add_argument("--model", required=True)
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Move the aliases back, through the rollout where the model is served."""
    version = Platform.from_environment().registry.roll_back(registered_name(options.model))
    print(f"{version.name} version {version.number} ({version.artifact.path}) is the champion again")
    return 0
