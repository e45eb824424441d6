"""One JSON object that holds many rows, as people save tables: under a name (`data`), by column, or by key."""

from collections.abc import Container
from typing import Any

Row = dict[str, Any]
_HOLDERS = frozenset(
    {"data", "rows", "items", "records", "examples", "instances", "samples", "entries", "documents", "results"}
    | {"train", "training", "valid", "validation", "dev", "test"}
)
"""What the list of rows is called: by AI-Hub, Hugging Face's viewer, SQuAD-like files, data sets saved whole."""
_LEAST_KEYS = 3
"""Objects beside each other are rows by their keys from so many on; two may be the two sides of one row."""


def unfolded(value: Any, columns: Container[str]) -> list[Row] | None:
    """The rows that a value holds; None where it holds none, and is a row itself.

    Args:
        columns: what the columns of a row are called, in small letters: an object that has one is a row, unless all
            its values are columns.
    """
    if not isinstance(value, dict) or not value:
        return None
    if (rows := _by_column(value)) is not None:
        return rows
    if any(str(name).strip().casefold() in columns for name in value):
        return None
    return _under_a_name(value) or _split(value) or _by_key(value)


def _by_column(value: Row) -> list[Row] | None:
    """pandas' `to_json` (`{"question": {"0": ...}}`), and `to_dict` of a data set (`{"question": [...]}`)."""
    if all(isinstance(column, dict) and column and all(map(str.isdecimal, column)) for column in value.values()):
        keys = list(dict.fromkeys(key for column in value.values() for key in column))
        return [{name: column.get(key) for name, column in value.items()} for key in keys]
    if len(value) < 2 or not all(isinstance(column, list) and len(column) > 1 for column in value.values()):
        return None
    if len(set(map(len, value.values()))) > 1:
        return None
    rows = [dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True)]
    return None if any(isinstance(cell, dict | list) for row in rows for cell in row.values()) else rows


def _under_a_name(value: Row) -> list[Row]:
    """The rows of all lists that are called as rows are; where the hub's viewer wrapped each, what lies in `row`."""
    lists = [rows for name, rows in value.items() if str(name).casefold() in _HOLDERS and _are_objects(rows)]
    rows = [row for each in lists for row in each]
    inner = [row.get("row") for row in rows]
    return inner if inner and all(isinstance(row, dict) for row in inner) else rows


def _split(value: Row) -> list[Row] | None:
    """pandas' `orient="split"`."""
    names, data = value.get("columns"), value.get("data")
    if not isinstance(names, list) or not isinstance(data, list):
        return None
    if not all(isinstance(row, list) and len(row) == len(names) for row in data):
        return None
    return [dict(zip(map(str, names), row, strict=True)) for row in data]


def _by_key(value: Row) -> list[Row] | None:
    """Rows under their names, all with the same columns."""
    rows = list(value.values())
    if len(rows) < _LEAST_KEYS or not _are_objects(rows) or len({frozenset(row) for row in rows}) > 1:
        return None
    return [{"id": name, **row} for name, row in value.items()]


def _are_objects(rows: Any) -> bool:
    return isinstance(rows, list) and bool(rows) and all(isinstance(row, dict) for row in rows)
