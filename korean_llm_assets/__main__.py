"""`python -m korean_llm_assets <command>`: the platform on this machine, and operations on its runs."""

import argparse
import sys

from korean_llm_assets.commands.modules import add_parsers
from korean_llm_assets.home import Home
from trainers.contract import BadRequest, StageError, settings

_OF_ONE_MACHINE = ("demo", "env", "serve", "ui")
"""What a cluster's deployment does itself."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="python -m korean_llm_assets",
        description="Korean language models from drops of text. All state lies below KOREAN_LLM_HOME (default: var); "
        "in a cluster's pod it is the deployment's.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    # Importing Dagster takes a second: only the module of the command that is asked for is read.
    add_parsers(commands, words[0] if words else None)
    options = parser.parse_args(words)
    try:
        if options.command in _OF_ONE_MACHINE and settings.ENV.get() == "cluster":
            raise BadRequest(f"`{options.command}` is for one machine; this is KOREAN_LLM_ENV=cluster")
        code: int = options.run(options, Home.from_environment().prepare())
        return code
    except StageError as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return int(error.code)


if __name__ == "__main__":
    sys.exit(main())
