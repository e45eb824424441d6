"""From a block of raw lines to documents, and the reason for every line that is none."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from trainers.contract.names import shown
from trainers.contract.recipe.data import FieldSettings
from trainers.text.columns import column_names, dig, longest_text
from trainers.text.decode import repair_mojibake, repair_surrogates
from trainers.text.json_values import NoJson, Repeated, loads
from trainers.text.losses import Losses
from trainers.text.read import Block, Problem
from trainers.text.unfold import unfolded


@dataclass(slots=True)
class Document:
    """One document on its way through the chain; its text may hold lone surrogates, which JSON allows."""

    id: str
    line: int
    text: str
    source: str
    licence: str
    url: str
    taken_down: bool = False


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
    ignored: Counter[str] = field(default_factory=Counter)
    losses: Losses = field(default_factory=Losses)

    @property
    def read(self) -> int:
        """Rows, whether or not they are documents."""
        return self.losses.rows


class Unusable(Exception):
    """A line that cannot be used: reason and detail."""


def parse(block: Block, fields: FieldSettings) -> Parsed:
    """All documents of a block."""
    parsed = Parsed()
    place = _source_of(block)
    known = {*_KNOWN, *(path.partition(".")[0] for path in fields.model_dump().values() if path)}
    for line, size, row in _documents(block, fields):
        identity = f"{block.file}:{line}"
        try:
            if isinstance(row, Unusable):
                raise row
            parsed.documents.append(_document(place, line, row, fields, parsed.repaired))
            parsed.losses.read(size)
            if len(row) > 1 and (more := row.keys() - known):
                parsed.ignored.update(map(_string, more))
        except Unusable as unusable:
            if isinstance(row, dict) and isinstance(row.get(fields.id), str | int):
                identity = _string(row[fields.id])
            reason, detail = unusable.args
            parsed.exclusions.append(Exclusion(identity, block.file, line, reason, _string(detail)))
            parsed.losses.lost(block.problem, block.file, reason, size)
    return parsed


_LONGEST_NOTE = 1000
"""Characters that are kept of an id, a source, a licence, an address, a column: they go into manifests and lists."""
_MOST_BLANK = 1000
_BEGIN = re.compile(rb"\S")
_KNOWN = frozenset({"text", "license"})


def _documents(block: Block, fields: FieldSettings) -> Iterator[tuple[int, int, Any]]:
    """Rows, or what `fields.rows` names in each: their line (or number there), bytes, and value."""
    if not fields.rows:
        for line, size, row in rows(block):
            if isinstance(row, dict) and fields.text not in row and (held := unfolded(row, _KNOWN)):
                yield from ((number, size // len(held), each) for number, each in enumerate(held, line))
            else:
                yield line, size, row
        return
    for line, size, value in rows(block):
        inner = [value] if isinstance(value, Unusable) else dig(value, fields.rows)
        if not inner:
            yield line, size, Unusable("no_text", f"nothing at {fields.rows!r}; there are {column_names(value)}")
        for number, row in enumerate(inner, line):
            yield number, size // len(inner), row


def _source_of(block: Block) -> str:
    """The source of rows that name none: their folder. A whole file is its own; rows may be cut over files anyhow."""
    if block.kind in ("text", "html"):
        return block.file
    return block.file.rpartition("/")[0] or "unknown"


def rows(block: Block) -> Iterator[tuple[int, int, Any]]:
    """Line number, bytes and JSON value of each row; Unusable instead of a value where there is none."""
    if block.problem is not None:
        yield block.problem.line, block.problem.size, Unusable(block.problem.reason, block.problem.detail)
    elif isinstance(block.payload, list):
        numbers = block.lines or count(block.line)
        for number, row in zip(numbers, block.payload, strict=False):
            if isinstance(row, Problem):
                yield number, row.size, Unusable(row.reason, row.detail)
            else:
                yield number, sum(len(str(value)) for value in row.values()) if isinstance(row, dict) else 1, row
    elif block.kind == "lines":
        yield from _lines(block.payload, block.line, block.encoding)
    else:
        yield block.line, len(block.payload), _text_row(block.payload, block.encoding, block.kind)


def _lines(payload: bytes, number: int, encoding: str) -> Iterator[tuple[int, int, Any]]:
    """Rows of JSON lines; very many blank lines that follow each other are one: a small file may unpack to millions."""
    at, last = 0, number - 1
    while match := _BEGIN.search(payload, at):
        begin = match.start()
        end = payload.find(b"\n", begin)  # far quicker than a pattern for the whole line
        end = len(payload) if end < 0 else end
        number += payload.count(b"\n", at, begin)
        yield from _blank(last + 1, number)
        yield number, end - begin, _json_row(payload[begin:end], encoding)
        at, last = end, number
    number += payload.count(b"\n", at) - payload.endswith(b"\n")
    yield from _blank(last + 1, number + 1)


def _blank(begin: int, end: int) -> Iterator[tuple[int, int, Any]]:
    if end - begin > _MOST_BLANK:
        yield begin, end - begin, Unusable("blank_line", f"and {end - begin - 1} more behind it")
    else:
        yield from ((number, 1, Unusable("blank_line", "")) for number in range(begin, end))


def _json_row(raw: bytes, encoding: str) -> Any:
    try:
        return loads(raw.decode(encoding))
    except UnicodeDecodeError as error:
        return Unusable("invalid_encoding", f"{error.reason} at byte {error.start} (read as {encoding})")
    except NoJson as error:
        return Unusable("invalid_json", str(error))


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
    if isinstance(row, Repeated):
        repaired["repeated_key"] += 1
    text = _text(row, fields.text)
    if text is None:
        raise Unusable("no_text", _no_text(row, fields.text))
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
    text = str(value)[:_LONGEST_NOTE]
    return text if text.isprintable() else shown(repair_surrogates(text)[0])


def _text(row: dict[str, Any], path: str) -> Any:
    """The document of a row: the column, or what lies at its path, joined by line breaks; else its `text`."""
    text = row.get(path)
    if text is None and ("." in path or "*" in path):
        pieces = dig(row, path)
        text = "\n".join(pieces) if all(isinstance(piece, str) for piece in pieces) and pieces else None
    return row.get("text") if text is None else text


def _no_text(row: dict[str, Any], path: str) -> str:
    """What there is instead, and the setting that would read it."""
    candidate = longest_text(row)
    first, is_deep, rest = (candidate or "").partition(".*.")
    setting = f"fields: {{rows: {first}.*, text: {rest}}}" if is_deep else f"fields.text: {candidate}"
    advice = f"; `corpus.{setting}` would read the longest of them" if candidate else ""
    return f"no column {path!r}; there are {column_names(row)}{advice}"
