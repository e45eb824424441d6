"""From a block of raw lines to documents, and the reason for every line that is none."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from trainers.contract.recipe.data import FieldSettings
from trainers.text.decode import repair_mojibake, repair_surrogates
from trainers.text.read import Block, Problem


@dataclass(slots=True)
class Document:
    """One document on its way through the chain; its text may hold lone surrogates, which JSON allows."""

    id: str
    line: int
    text: str
    source: str
    licence: str
    url: str


@dataclass(frozen=True)
class Exclusion:
    """A document or line that does not reach the corpus, and why."""

    id: str
    file: str
    line: int
    reason: str
    detail: str = ""
    duplicate_of: str | None = None


@dataclass
class Parsed:
    """What came out of one block."""

    documents: list[Document] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)
    repaired: Counter[str] = field(default_factory=Counter)
    read: int = 0


UNREADABLE = frozenset(
    {"file_breaks_off", "invalid_encoding", "invalid_json", "line_too_long", "mojibake"}
    | {"no_text", "not_an_object", "text_not_string"}
)
"""Reasons that say that a drop was made wrongly; the others are choices of ours."""


class Unusable(Exception):
    """A line that cannot be used: reason and detail."""


def parse(block: Block, fields: FieldSettings) -> Parsed:
    """All documents of a block."""
    parsed = Parsed()
    place = _source_of(block)
    for line, row in rows(block):
        parsed.read += 1
        identity = f"{block.file}:{line}"
        try:
            if isinstance(row, Unusable):
                raise row
            parsed.documents.append(_document(place, line, row, fields, parsed.repaired))
        except Unusable as unusable:
            if isinstance(row, dict) and isinstance(row.get(fields.id), str | int):
                identity = repair_surrogates(str(row[fields.id]))[0]
            reason, detail = unusable.args
            parsed.exclusions.append(Exclusion(identity, block.file, line, reason, detail))
    return parsed


def _source_of(block: Block) -> str:
    """The source of rows that name none: their folder. A whole file is its own; rows may be cut over files anyhow."""
    if block.kind in ("text", "html"):
        return block.file
    return block.file.rpartition("/")[0] or "unknown"


def rows(block: Block) -> Iterator[tuple[int, Any]]:
    """Line number and JSON value of each row; Unusable instead of a value where there is none."""
    if block.problem is not None:
        yield block.problem.line, Unusable(block.problem.reason, block.problem.detail)
    elif isinstance(block.payload, list):
        numbers = block.lines or count(block.line)
        for number, row in zip(numbers, block.payload, strict=False):
            yield number, Unusable(row.reason, row.detail) if isinstance(row, Problem) else row
    elif block.kind == "lines":
        lines = block.payload.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for number, raw in enumerate(lines, block.line):
            yield number, _json_row(raw, block.encoding)
    else:
        yield block.line, _text_row(block.payload, block.encoding, block.kind)


def _json_row(raw: bytes, encoding: str) -> Any:
    if not raw.strip():
        return Unusable("blank_line", "")
    try:
        return json.loads(raw.decode(encoding), object_pairs_hook=_pairs, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        return Unusable("invalid_encoding", f"{error.reason} at byte {error.start} (read as {encoding})")
    except (ValueError, RecursionError) as error:
        return Unusable("invalid_json", str(error)[:200])


class _Repeated(dict[str, Any]):
    """An object that names a key twice; the last one counts, as in every JSON parser."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    return row if len(row) == len(pairs) else _Repeated(row)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _text_row(raw: bytes, encoding: str, kind: str) -> Any:
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        return Unusable("invalid_encoding", f"{error.reason} at byte {error.start} (read as {encoding})")
    if kind == "html":
        import trafilatura

        text = trafilatura.extract(text, include_comments=False) or ""
    return {"text": text}


def _document(place: str, line: int, row: Any, fields: FieldSettings, repaired: Counter[str]) -> Document:
    if not isinstance(row, dict):
        raise Unusable("not_an_object", f"a JSON {type(row).__name__}")
    if isinstance(row, _Repeated):
        repaired["repeated_key"] += 1
    text = row.get(fields.text) if fields.text in row or "text" not in row else row["text"]
    if text is None:
        raise Unusable("no_text", f"no field {fields.text!r}; there are {', '.join(map(str, row))[:120]!r}")
    if not isinstance(text, str):
        raise Unusable("text_not_string", f"a JSON {type(text).__name__}")
    if not text.strip():
        raise Unusable("empty_text", "")
    text, garbled = repair_mojibake(text)
    if garbled == "mojibake":
        raise Unusable("mojibake", "decoded wrongly before it came here, and bytes were lost")
    repaired["mojibake"] += garbled is not None
    return Document(
        id=_string(row.get(fields.id)),
        line=line,
        text=text,
        source=_string(row.get(fields.source)) or place,
        licence=_string(row.get(fields.licence) or row.get("license")) or "unknown",
        url=_string(row.get(fields.url)),
    )


def _string(value: Any) -> str:
    if value is None:
        return ""
    text = str(value)
    return text if text.isascii() else repair_surrogates(text)[0]
