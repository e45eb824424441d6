"""Command `completion`: what a shell evaluates to get the short name `korean-llm`, its commands and their options.

eval "$(python -m korean_llm_assets completion)"
"""

import argparse
import shlex
import sys
from argparse import Namespace
from typing import Any

from korean_llm_assets.commands.modules import add_parsers
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.recipes import model_recipes

NAME = "korean-llm"
_SCRIPT = """\
{name}() {{ {python} -m korean_llm_assets "$@"; }}
_korean_llm() {{
  local words= word=${{COMP_WORDS[COMP_CWORD]}}
  if [ "$COMP_CWORD" = 1 ]; then words={commands}
  else case "${{COMP_WORDS[1]}} ${{COMP_WORDS[COMP_CWORD-1]}}" in
{values}
  *) case "${{COMP_WORDS[1]}}" in
{options}
  esac;; esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
[ -z "${{ZSH_VERSION:-}}" ] || {{ autoload -Uz bashcompinit && bashcompinit; }}
complete -o default -F _korean_llm {name}
"""


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("completion", help=f'a shell\'s completion: eval "$(... completion)", then {NAME} TAB')
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Print it, for bash and zsh."""
    parsers = _parsers()
    models = sorted(model_recipes())
    values, flags = [], []
    for command, parser in parsers.items():
        names: list[str] = []
        for action in parser._actions:
            names += action.option_strings
            choices = models if action.dest in ("model", "models") else [str(each) for each in action.choices or ()]
            for place in action.option_strings if choices else ():
                values.append(_case(f"{command} {place}", choices))
            names += choices if not action.option_strings else []
        flags.append(_case(command, names))
    python = shlex.quote(sys.executable)
    cases = {"values": "\n".join(values), "options": "\n".join(flags), "commands": shlex.quote(" ".join(parsers))}
    print(_SCRIPT.format(name=NAME, python=python, **cases), end="")
    return 0


def _case(pattern: str, words: list[str]) -> str:
    return f"  {shlex.quote(pattern)}) words={shlex.quote(' '.join(words))};;"


def _parsers() -> dict[str, argparse.ArgumentParser]:
    """Each command's own, as the command line has it."""
    commands = argparse.ArgumentParser().add_subparsers()
    add_parsers(commands)
    return dict(sorted(commands.choices.items()))
