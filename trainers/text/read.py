"""Reading whatever was dropped: files become blocks of raw lines or records, each with its place of origin.

Compression: .gz, .zst, .xz. Formats: .jsonl/.ndjson, .txt and .md (a file is a document), .html (text extracted),
.csv and .tsv, .parquet and .arrow (Hugging Face data sets, as saved or as on the hub: all splits, only their rows).
A file that breaks off gives what could be read, and the reason.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.contract.digests import READY_MARKER
from trainers.text.tables import csv_records, table_batches
from trainers.text.unpack import COMPRESSED, Bytes

BLOCK_BYTES = 8 << 20
"""Work is done and published in blocks of about this size; the results do not depend on it."""
MAX_LINE_BYTES = 64 << 20
_LINES = {".jsonl", ".ndjson"}
_WHOLE = {".txt", ".md", ".html", ".htm"}
_TABLES = {".parquet", ".arrow"}
_RECORDS = {".csv", ".tsv"}
FORMATS = ", ".join(sorted(_LINES | _WHOLE | _TABLES | _RECORDS))
_RECORDS_AT_ONCE = 1024
_DATASET_NOTES = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""What Hugging Face's `save_to_disk` and hub folders hold beside the rows."""
_CARD = re.compile(rb"---\s.*?^(?:dataset_info|configs|task_categories|size_categories):.*?^---", re.M | re.S)


@dataclass(frozen=True)
class Problem:
    """Something that could not be read, and why."""

    line: int
    reason: str
    detail: str


RowOrProblem = dict[str, Any] | Problem


@dataclass(frozen=True)
class Block:
    """A piece of one file: raw lines, a whole text, or rows of a table; `line` counts from 1.

    `lines` says where each row begins, where a row may be more than a line (csv).
    """

    number: int
    file: str
    line: int
    payload: bytes | list[RowOrProblem]
    kind: str  # "lines", "text", "html", "rows" or "problem"
    encoding: str = "utf-8"
    problem: Problem | None = None
    lines: Sequence[int] = ()

    @property
    def size(self) -> int:
        """Bytes of the payload (rows count as their texts)."""
        return len(self.payload) if isinstance(self.payload, bytes) else sum(len(str(row)) for row in self.payload)


def files_below(root: Path) -> dict[str, Path]:
    """Files to read under a folder (or the one file), by their name relative to it, in order."""
    if root.is_file():
        return {root.name: root}
    files = (path for path in root.rglob("*") if path.is_file() and path.name not in {READY_MARKER, *_DATASET_NOTES})
    named = {path.relative_to(root).as_posix(): path for path in files if not _is_cache(path)}
    return {name: named[name] for name in sorted(named) if not any(part.startswith(".") for part in name.split("/"))}


def _is_cache(path: Path) -> bool:
    """Is this an .arrow file that the data set it lies in does not count as its own?"""
    state = path.with_name("state.json")
    if path.suffix != ".arrow" or not state.exists():
        return False
    return path.name not in {row["filename"] for row in json.loads(state.read_text())["_data_files"]}


def read_blocks(files: dict[str, Path]) -> Iterator[Block]:
    """All blocks of all files, numbered in order; the same files give the same blocks."""
    number = 0
    for name, path in files.items():
        for block in _file_blocks(name, path):
            yield Block(number, *block)
            number += 1


_Parts = tuple[str, int, bytes | list[RowOrProblem], str, str, Problem | None, Sequence[int]]


def _file_blocks(name: str, path: Path) -> Iterator[_Parts]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = COMPRESSED.get(suffixes[-1]) if suffixes else None
    kind = suffixes[-2] if compression and len(suffixes) > 1 else (suffixes or [""])[-1]
    if kind in _TABLES and not compression:
        yield from _table_blocks(name, path, kind)
    elif kind in _RECORDS:
        yield from _record_blocks(name, Bytes(path, compression), kind)
    elif kind in _LINES:
        yield from _line_blocks(name, path, compression)
    elif kind in _WHOLE:
        yield _whole_file(name, path, compression, "html" if kind.startswith(".htm") else "text")
    else:
        yield _problem(
            name, 0, "unsupported_file", f"{kind or 'no'} extension; readable: {FORMATS}, .gz .zst .xz of them"
        )


def _problem(name: str, line: int, reason: str, detail: str) -> _Parts:
    return name, line, b"", "problem", "utf-8", Problem(line, reason, detail), ()


def _line_blocks(name: str, path: Path, compression: str | None) -> Iterator[_Parts]:
    line, pending, skipping = 1, bytearray(), False
    stream = Bytes(path, compression)
    encoding = "utf-8" if stream.encoding.startswith("utf-16") else stream.encoding
    for chunk in stream:
        if skipping:
            _, newline, chunk = chunk.partition(b"\n")
            if not newline:
                continue
            skipping, line = False, line + 1
        pending += chunk
        if len(pending) < BLOCK_BYTES:
            continue
        cut = pending.rfind(b"\n") + 1
        if cut:
            block = bytes(pending[:cut])
            del pending[:cut]
            yield name, line, block, "lines", encoding, None, ()
            line += block.count(b"\n")
        if len(pending) > MAX_LINE_BYTES:
            yield _problem(name, line, "line_too_long", f"over {MAX_LINE_BYTES >> 20} MiB")
            pending.clear()
            skipping = True
    if stream.broken:
        cut = pending.rfind(b"\n") + 1
        whole = bytes(pending[:cut])
        if whole:
            yield name, line, whole, "lines", encoding, None, ()
        yield _problem(name, line + whole.count(b"\n"), "file_breaks_off", stream.broken)
    elif pending:
        yield name, line, bytes(pending), "lines", encoding, None, ()


def _whole_file(name: str, path: Path, compression: str | None, kind: str) -> _Parts:
    stream = Bytes(path, compression)
    whole = io.BytesIO()
    for chunk in stream:
        whole.write(chunk)
        if whole.tell() > MAX_LINE_BYTES:
            return _problem(
                name, 1, "line_too_long", f"a {kind} file over {MAX_LINE_BYTES >> 20} MiB; make it JSON lines"
            )
    if stream.broken:
        return _problem(name, 1, "file_breaks_off", stream.broken)
    if path.name == "README.md" and _CARD.match(whole.getvalue()):
        return _problem(name, 1, "dataset_card", "the description of a data set, not a text of it")
    encoding = "utf-8" if stream.encoding.startswith("utf-16") else stream.encoding
    return name, 1, whole.getvalue(), kind, encoding, None, ()


def _record_blocks(name: str, stream: Bytes, kind: str) -> Iterator[_Parts]:
    rows: list[RowOrProblem] = []
    lines: list[int] = []
    line, size = 1, 0
    for line, record in csv_records(stream, kind == ".tsv", MAX_LINE_BYTES):
        lines.append(line)
        rows.append(record if isinstance(record, dict) else Problem(line, *record))
        size += sum(map(len, record if isinstance(record, tuple) else record.values()))
        if len(rows) == _RECORDS_AT_ONCE or size > BLOCK_BYTES:
            yield name, lines[0], rows, "rows", "utf-8", None, lines
            rows, lines, size = [], [], 0
    if rows:
        yield name, lines[0], rows, "rows", "utf-8", None, lines
    if stream.broken:
        yield _problem(name, line + 1, "file_breaks_off", stream.broken)


def _table_blocks(name: str, path: Path, kind: str) -> Iterator[_Parts]:
    import pyarrow

    line = 1
    try:
        for rows in table_batches(path, kind):
            yield name, line, [*rows], "rows", "utf-8", None, ()
            line += len(rows)
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's trouble, not the file's
        yield _problem(name, line, "file_breaks_off", f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")


def suite_files(benchmarks: Path) -> tuple[Path, ...]:
    """The suites of a `benchmarks` artifact."""
    return tuple(sorted(path for path in benchmarks.glob("*.jsonl")))
