"""Command `env`: the variables for Dagster's own command line."""

import shlex
from argparse import Namespace
from typing import Any

from korean_llm_assets.home import Home


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("env", help="print the variables for Dagster's own command line: eval $(... env)")
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Print them as a shell reads them."""
    for name, value in home.environment().items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"# workspace: {home.workspace}")
    return 0
