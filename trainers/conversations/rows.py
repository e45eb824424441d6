"""Sets of conversations as they land: rows read with their line numbers, messages checked, sets split and written."""

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainers.contract import canonical_json
from trainers.text.read import files_below, read_blocks
from trainers.text.records import Exclusion, Unusable, repair_surrogates, rows

Message = dict[str, str]
Messages = list[Message]
Row = dict[str, Any]
_ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system"}
_SAMPLES = 3


@dataclass
class ConversationSet:
    """What became of a landed folder of conversations."""

    kept: list[Row] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)
    places: list[tuple[str, int]] = field(default_factory=list)
    """File and line of each kept row."""
    read: int = 0

    @property
    def excluded(self) -> Counter[str]:
        """Rows by reason."""
        return Counter(row.reason for row in self.exclusions)


def landed_rows(files: dict[str, Path]) -> Iterator[tuple[str, int, Any]]:
    """(file, line, JSON value or Unusable) of each row of files by name; blank lines are no rows."""
    for block in read_blocks(files):
        for line, value in rows(block):
            if not (isinstance(value, Unusable) and value.args[0] == "blank_line"):
                yield block.file, line, value


def collect(folder: Path, convert: Callable[[Row], Row], identity: tuple[str, ...]) -> ConversationSet:
    """Convert each landed row; those it refuses, and repeats of the same `identity` fields, are excluded."""
    result = ConversationSet()
    first: dict[str, str] = {}
    for file, line, value in landed_rows(files_below(folder)):
        result.read += 1
        name = f"{file}:{line}"
        try:
            if isinstance(value, Unusable):
                raise value
            if not isinstance(value, dict):
                raise Unusable("not_an_object", f"a JSON {type(value).__name__}")
            name = _text(value.get("id")) or name
            row = convert(value)
        except Unusable as unusable:
            result.exclusions.append(Exclusion(name, file, line, *unusable.args))
            continue
        key = hashlib.sha256(canonical_json([row[part] for part in identity]).encode()).hexdigest()
        row = {"id": _text(value.get("id")) or f"sha-{key[:32]}", **row, **_ledger(value, file)}
        if key in first:
            result.exclusions.append(Exclusion(row["id"], file, line, "exact_duplicate", "", first[key]))
        else:
            first[key] = row["id"]
            result.places.append((file, line))
            result.kept.append(row)
    return result


def _ledger(value: Row, file: str) -> Row:
    return {
        "source": _text(value.get("source")) or file,
        "licence": _text(value.get("licence") or value.get("license")) or "unknown",
        "task": _text(value.get("task")) or "unnamed",
    }


def _text(value: Any) -> str:
    return "" if value is None else repair_surrogates(str(value))[0]


def content(value: Any, name: str) -> str:
    """A non-empty text in NFC.

    Raises:
        Unusable: it is missing, no string, or empty.
    """
    if value is None:
        raise Unusable("field_missing", name)
    if not isinstance(value, str):
        raise Unusable("field_not_text", f"{name} is a JSON {type(value).__name__}")
    text = unicodedata.normalize("NFC", repair_surrogates(value)[0]).strip()
    if not text:
        raise Unusable("field_empty", name)
    return text


def messages(value: Any, name: str = "messages") -> Messages:
    """Checked messages: known roles, an optional system message first, then user and assistant in turn.

    Also reads ShareGPT's `from` and `value`.

    Raises:
        Unusable: with the number of the first message that is wrong.
    """
    if not isinstance(value, list):
        raise Unusable("messages_not_list", f"{name} is a JSON {type(value).__name__}")
    if not value:
        raise Unusable("field_empty", name)
    checked: Messages = []
    for number, message in enumerate(value, 1):
        where = f"{name}, message {number}"
        if not isinstance(message, dict):
            raise Unusable("message_not_object", f"{where} is a JSON {type(message).__name__}")
        role = message.get("role", message.get("from"))
        if not isinstance(role, str) or role not in _ROLES:
            raise Unusable("unknown_role", f"{where}: {str(role)[:40]!r}; there are system, user, assistant")
        checked.append({"role": _ROLES[role], "content": content(message.get("content", message.get("value")), where)})
    turns = checked[1:] if checked[0]["role"] == "system" else checked
    for number, message in enumerate(turns):
        if message["role"] != ("user", "assistant")[number % 2]:
            raise Unusable("roles_out_of_order", f"{name}: {' '.join(m['role'] for m in checked)[:80]}")
    return checked


def write_jsonl(path: Path, rows_: list[Row]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows_), encoding="utf-8")
