"""Markdown around text that somebody else wrote: it is shown as it stands, and can make no markup, link or picture."""

import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"[\\`*\[\]<>|&~]|(?<![^\W_])_|_(?![^\W_])")
"""An underscore between letters is none (CommonMark): names stay readable in a pager."""
_MARKUP_OF_LINES = re.compile(r"^(\d*)([#+=.)-])")


def escaped(text: object) -> str:
    """Any text on one line, for a cell, an entry of a list or a heading."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(str(text).split()))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], numbers: int = 0) -> list[str]:
    """Lines of a table; its cells are escaped, its last `numbers` columns set to the right."""
    rules = ["---"] * (len(columns) - numbers) + ["---:"] * numbers
    cells = [columns, *rows]
    head, *body = [f"| {' | '.join(map(escaped, row))} |" for row in cells]
    return [head, f"|{'|'.join(rules)}|", *body]


def quote(text: str) -> str:
    """A block that holds every line of the text; none begins a list or a heading."""
    lines = (_MARKUP_OF_LINES.sub(r"\1\\\2", escaped(line)) for line in text.splitlines())
    return "\n".join(f"> {line}".rstrip() for line in lines)


def code(text: str) -> str:
    """A fenced block; the fence is longer than any in the text."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}\n{text}\n{fence}"
