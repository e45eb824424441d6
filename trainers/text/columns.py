"""Columns of a row by their paths: `text`, `meta.body`, `document.*.paragraph.*.form` (`*`: each of a list)."""

from collections.abc import Iterator
from typing import Any

_MOST_NAMES = 20
_DEEPEST = 4


def dig(value: Any, path: str) -> list[Any]:
    """All values at a path, in order; null is no value. A column whose name itself has dots is found by that name."""
    if isinstance(value, dict) and path in value:
        return [] if value[path] is None else [value[path]]
    first, _, rest = path.partition(".")
    if first == "*":
        inner = value if isinstance(value, list) else []
    else:
        inner = [value[first]] if isinstance(value, dict) and value.get(first) is not None else []
    if rest:
        return [deep for each in inner for deep in dig(each, rest)]
    return [each for each in inner if each is not None]


def column_names(value: Any) -> str:
    """What there is, for a message: the columns with a value, those of lists and objects by their paths."""
    names = list(_paths(value, ""))
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more or "none"


def longest_text(value: Any) -> str | None:
    """The path of a row's longest text, None where it has none."""
    texts = ((sum(map(len, _texts(value, path))), path) for path in _paths(value, ""))
    length, path = max(texts, default=(0, ""))
    return path if length else None


def _texts(value: Any, path: str) -> list[str]:
    return [text for text in dig(value, path) if isinstance(text, str)]


def _paths(value: Any, before: str, depth: int = 0) -> Iterator[str]:
    if isinstance(value, list) and value and isinstance(value[0], dict | list) and depth < _DEEPEST * 2:
        yield from _paths(value[0], f"{before}.*" if before else "*", depth + 1)
    elif isinstance(value, dict) and depth < _DEEPEST * 2:
        for name, inner in value.items():
            if inner is not None:
                yield from _paths(inner, f"{before}.{name}" if before else str(name), depth + 1)
    elif before:
        yield before
