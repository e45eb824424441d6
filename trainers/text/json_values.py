"""JSON as it is dropped: a value a line, one array, one object, or values end to end, whatever the file is called.

Python's `NaN`, which JSON does not know, is null: so pandas writes a cell that is empty.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_NEXT_OBJECT = re.compile(r"(?:,\s*|\n[^\S\n]*)(?=\{)")
_AROUND = " \t\r\n,\ufeff\x1e\0"
"""What stands around a line's value where it was cut out of an array, or files were put end to end: commas, byte order
marks, the separator of RFC 7464."""
_MOST_ATTEMPTS = 1000
"""After so many elements of an array that cannot be read, the rest of it is given up: each costs a look ahead."""


class Repeated(dict[str, Any]):
    """An object that names a key twice; the last one counts, as in every JSON parser."""


class NoJson(ValueError):
    """Text that is no JSON; says why."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    return row if len(row) == len(pairs) else Repeated(row)


def _no_constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_no_constant)
_LENIENT = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_no_constant, strict=False)
"""Reads a tab inside a text, too; other signs that JSON does not allow there are damage."""
_DAMAGE = re.compile(r"[\x00-\x08\x0b-\x1f]")


def loads(text: str) -> Any:
    """The value of a text, whatever a writer left around it.

    Raises:
        NoJson: it is none, or it is nested too deep to read.
    """
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        problem = error
    inner = text.strip(_AROUND)
    try:
        return (_DECODER if _DAMAGE.search(inner) else _LENIENT).decode(inner)
    except (ValueError, RecursionError):
        raise NoJson(str(problem)[:200]) from problem


def holds_lines(beginning: str) -> bool:
    """Whether a file of JSON is one of lines, by its beginning: what its first line opens, that line closes."""
    text = beginning.lstrip()
    first, more, _ = text.partition("\n")
    if not text.startswith(("[", "{")):
        return True
    if text.startswith("{") and _is_followed(first):
        return False
    if text.startswith("{") and not more:
        return True
    try:
        value = loads(first)
    except NoJson:
        return _is_broken_line(first, text)
    return not isinstance(value, list) or (bool(more) and text[len(first) :].lstrip()[:1] in ("[", "{"))


def _is_followed(line: str) -> bool:
    """Whether another object stands behind the first one in the same line."""
    try:
        end = _DECODER.raw_decode(line)[1]
    except (ValueError, RecursionError):
        return False
    return line[end:].lstrip(_AROUND).startswith("{")


def _is_broken_line(first: str, text: str) -> bool:
    """Whether a first line that is no JSON is a broken row, and no value that goes on in the next one."""
    if first.startswith("["):
        return False
    second = text[len(first) :].lstrip().partition("\n")[0]
    try:
        return isinstance(loads(second), dict)
    except NoJson:
        return len(first.strip()) > 1 and not second[:1].isspace() and second.startswith("{")


@dataclass(frozen=True)
class Element:
    """A value, or why there is none, and where it begins and ends in the text."""

    value: Any
    problem: str | None
    begin: int
    end: int


def elements(text: str) -> Iterator[Element]:
    """The elements of an array, or the values that stand end to end.

    What cannot be read is an Element with its problem, up to the next object that can.
    """
    at = _SPACE.match(text).end()  # type: ignore[union-attr]
    in_array = text.startswith("[", at)
    at += in_array
    attempts = 0
    while True:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
        if at < len(text) and in_array and text[at] == "]":
            at, in_array = at + 1, False
            continue
        if at >= len(text):
            if in_array:
                yield Element(None, "the array does not end", at, at)
            return
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            attempts += 1
            begin, following = at, _NEXT_OBJECT.search(text, at + 1) if attempts < _MOST_ATTEMPTS else None
            at = following.end() if following else len(text)
            yield Element(None, str(error)[:200], begin, at)
            in_array = in_array and at < len(text)
            continue
        yield Element(value, None, at, end)
        at = end
