"""How commands print: aligned tables for people, in their language (`--lang`), or JSON for programs (`--json`)."""

import json
import os
import unicodedata
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any

from korean_llm_assets.commands.korean import Language, label, value

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def add_json(parser: ArgumentParser) -> None:
    """The option of a command that prints lines."""
    parser.add_argument("--json", action="store_true", help="JSON for programs")


def add_output(parser: ArgumentParser) -> None:
    """The options that say how a command that prints a table does so."""
    add_json(parser)
    parser.add_argument("--lang", choices=("en", "ko"), default=_own_language(), help="of labels (%(default)s)")


def _own_language() -> Language:
    """The shell's, where that is Korean."""
    variables = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return "ko" if next(filter(None, variables), "").startswith("ko") else "en"


def print_json(value: Any) -> None:
    """One JSON document."""
    print(json.dumps(value, ensure_ascii=False, indent=1))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], language: Language = "en") -> Iterator[str]:
    """Lines, their columns aligned (Hangul is two columns wide); a column that is empty in every row is left out.

    Heads, and cells that are a state or a verdict, are in the language.
    """
    kept = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    heads, *body = ([row[number] for number in kept] for row in (columns, *rows))
    cells = [[label(text, language) for text in heads], *([value(text, language) for text in row] for row in body)]
    widths = [max(_width(row[column]) for row in cells) for column in range(len(kept))]
    for row in cells:
        padded = (text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def ago(seconds: float) -> str:
    """An age in its largest unit: `3 h`."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{seconds / size:.0f} {unit}"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
