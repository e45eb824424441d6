"""Reading whatever was dropped: files become blocks of raw lines or records, each with its place of origin.

Compression: .gz, .zst, .xz, .bz2; archives: .zip, .tar. Formats: .jsonl/.ndjson/.json (lines or an array, by content),
.txt and .md (a file is a document), .html (text extracted), WikiExtractor's files (`wiki_00`), .csv and .tsv, .xlsx,
.parquet and .arrow (Hugging Face data sets, as saved or as on the hub: all splits, only their rows).
A file that breaks off gives what could be read, and the reason; what cannot be read is a problem with its bytes.
"""

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from trainers.contract.walk import Refusal, Walk, walk
from trainers.text.archives import TARS, ZIP, Member, is_misplaced, members_of
from trainers.text.json_values import elements, holds_lines
from trainers.text.tables import csv_records, sheet_rows, table_batches
from trainers.text.unpack import COMPRESSED, DAMAGE, Bytes, Packed, UnpacksTooFar, kind_of
from trainers.text.wiki import wiki_documents

BLOCK_BYTES = 8 << 20
"""Work is done and published in blocks of about this size; the results do not depend on it."""
MAX_LINE_BYTES = 64 << 20
MAX_JSON_BYTES = 512 << 20
"""One array or object is read as a whole."""
_JSON = {".jsonl", ".ndjson", ".json"}
_WHOLE = {".txt", ".text", ".md", ".markdown", ".html", ".htm", ".xhtml"}
_TABLES = {".parquet", ".arrow"}
_RECORDS = {".csv", ".tsv"}
_SHEETS = {".xlsx"}
FORMATS = ", ".join(sorted(_JSON | _WHOLE | _TABLES | _RECORDS | _SHEETS | {ZIP, ".tar"}))
READABLE = f"readable: {FORMATS}; the texts among them also as {' '.join(COMPRESSED)}"
_RECORDS_AT_ONCE = 1024
_MOST_NESTED = 2
"""Archives in archives."""
_DATASET_NOTES = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""What Hugging Face's `save_to_disk` and hub folders hold beside the rows."""
_CARD_KEY = re.compile(rb"^(?:dataset_info|configs|task_categories|size_categories):", re.M)
_NOTE = re.compile(
    r"(?:readme|licen[cs]e|notice|copying|changelog|citation|authors)"
    r"(?:[._-](?:ko|kr|en|korean|english))?(?:\.(?:md|markdown|txt|rst|html?|cff))?",
    re.IGNORECASE,
)
_WIKI = re.compile(r'\s*<doc id="[^"\n]*" (?:url|title|revid)=')
_FILE_TROUBLE = (*DAMAGE, KeyError)


@dataclass(frozen=True)
class Problem:
    """Something that could not be read, and why; `size` bytes of it."""

    line: int
    reason: str
    detail: str
    size: int = 0


RowOrProblem = Any
"""A row's JSON value, or the Problem of a row that has none."""


@dataclass(frozen=True)
class Block:
    """A piece of one file: raw lines, a whole text, or rows of a table; `line` counts from 1.

    `lines` says where each row begins, where a row may be more than a line (csv).
    """

    number: int
    file: str
    line: int
    payload: bytes | list[RowOrProblem]
    kind: str  # "lines", "json", "text", "html", "rows" or "problem"
    encoding: str = "utf-8"
    problem: Problem | None = None
    lines: Sequence[int] = ()

    @property
    def size(self) -> int:
        """Bytes of the payload (rows count as their texts)."""
        return len(self.payload) if isinstance(self.payload, bytes) else sum(len(str(row)) for row in self.payload)


def files_below(root: Path) -> Walk:
    """What there is to read under a folder (or the one file): the walk, but for a data set's notes and caches."""
    there = walk(root)
    files = {
        name: path for name, path in there.files.items() if path.name not in _DATASET_NOTES and not _is_cache(path)
    }
    return replace(there, files=files)


def is_note(name: str) -> bool:
    """Whether a file is called as what comes beside data and describes it: README, LICENSE."""
    return _NOTE.fullmatch(PurePosixPath(name).name) is not None


def _is_cache(path: Path) -> bool:
    """Is this an .arrow file that the data set it lies in does not count as its own?"""
    state = path.with_name("state.json")
    if path.suffix != ".arrow" or not state.is_file():
        return False
    try:
        return path.name not in {row["filename"] for row in json.loads(state.read_bytes())["_data_files"]}
    except (ValueError, KeyError, TypeError):
        return False  # another program's state: the file itself says what it is


def read_blocks(drop: Walk) -> Iterator[Block]:
    """All blocks of all files, numbered in order, then a problem for all that is refused; the same drop, the same."""
    refused = (_refused(name, refusal) for name, refusal in drop.refused.items())
    files = (part for name, path in drop.files.items() for part in _parts(Packed.file(name, path), 0))
    for number, part in enumerate(chain(files, refused)):
        yield Block(number, *part)


class _Part(NamedTuple):
    """A Block but for its number."""

    file: str
    line: int
    payload: bytes | list[RowOrProblem]
    kind: str
    encoding: str = "utf-8"
    problem: Problem | None = None
    lines: Sequence[int] = ()


def _problem(file: str, line: int, reason: str, detail: str, size: int) -> _Part:
    return _Part(file, line, b"", "problem", "utf-8", Problem(line, reason, detail, size))


def _refused(name: str, refusal: Refusal) -> _Part:
    return _problem(name, 0, refusal.reason, refusal.detail, refusal.size)


def _parts(file: Packed, depth: int) -> Iterator[_Part]:
    """The parts of a file; one that gives nothing at all is told."""
    nothing = True
    for part in _read(file, depth):
        nothing = False
        yield part
    if nothing and file.size:
        yield _problem(file.name, 0, "nothing_in_it", "the file was read and there is no row in it", file.size)


def _read(file: Packed, depth: int) -> Iterator[_Part]:
    kind, compression = kind_of(file.name)
    if (members := members_of(file)) is not None:
        yield from _members(file, depth, members)
    elif kind in _TABLES and not compression:
        yield from _table(file, kind)
    elif kind in _SHEETS and not compression:
        yield from _sheets(file)
    elif kind in _RECORDS:
        yield from _records(file.name, Bytes(file, compression), kind)
    elif kind in _JSON:
        yield from _json(file.name, Bytes(file, compression))
    elif kind in _WHOLE:
        yield _whole_file(file, compression, "html" if "htm" in kind else "text")
    else:
        yield from _by_content(file, compression, "" if kind in COMPRESSED else kind)


def _by_content(file: Packed, compression: str | None, kind: str) -> Iterator[_Part]:
    """A file without an extension that says what it is: WikiExtractor's `wiki_00`, or JSON lines."""
    if not kind or not re.search("[a-z]", kind):
        stream = Bytes(file, compression)
        if _WIKI.match(stream.beginning):
            yield from _rows(file.name, stream, wiki_documents(stream, MAX_LINE_BYTES))
            return
        if re.match(r'\s*(\[\s*)?\{\s*"', stream.beginning):
            yield from _json(file.name, stream)
            return
    if is_note(file.name):
        yield _problem(file.name, 0, "dataset_card", "the description of a data set, not a text of it", 0)
        return
    yield _problem(file.name, 0, "unsupported_file", f"{kind or 'no'} extension; {READABLE}", file.size)


def _members(archive: Packed, depth: int, members: Iterator[Member]) -> Iterator[_Part]:
    for name, member in members:
        if isinstance(member, Refusal):
            yield _refused(name, member)
        elif PurePosixPath(name).name in _DATASET_NOTES:
            continue
        elif depth == _MOST_NESTED and PurePosixPath(name).suffix.lower() in {ZIP, *TARS}:
            yield _problem(name, 0, "unsupported_file", "archives in archives in archives; unpack it", member.size)
        else:
            yield from _parts(replace(member, name=name), depth + 1)


def _broken(name: str, line: int, stream: Bytes) -> Iterator[_Part]:
    if stream.broken:
        yield _problem(name, line, stream.broken.reason, stream.broken.detail, max(1, stream.unread))


def _json(name: str, stream: Bytes) -> Iterator[_Part]:
    if holds_lines(stream.beginning):
        yield from _lines(name, stream)
        return
    whole = stream.whole(MAX_JSON_BYTES)
    if whole is None:
        detail = f"one JSON value over {MAX_JSON_BYTES >> 20} MiB; make it JSON lines"
        yield _problem(name, 1, "line_too_long", detail, stream.size)
        return
    yield from _values(name, whole.decode(stream.encoding, "surrogateescape"))
    yield from _broken(name, whole.count(b"\n") + 1, stream)


def _values(name: str, text: str) -> Iterator[_Part]:
    """Rows of an array, or of values end to end, each with the line where it begins."""
    rows: list[RowOrProblem] = []
    lines: list[int] = []
    line, counted, size = 1, 0, 0
    for element in elements(text):
        line += text.count("\n", counted, element.begin)
        counted = element.begin
        raw = text[element.begin : element.end]
        length = len(raw.encode(errors="surrogateescape"))
        problem = ("invalid_json", element.problem) if element.problem else _not_text(raw)
        rows.append(Problem(line, *problem, length) if problem else element.value)
        lines.append(line)
        size += length
        if size > BLOCK_BYTES:
            yield _Part(name, lines[0], rows, "rows", lines=lines)
            rows, lines, size = [], [], 0
    if rows:
        yield _Part(name, lines[0], rows, "rows", lines=lines)


def _not_text(raw: str) -> tuple[str, str] | None:
    try:
        raw.encode()
    except UnicodeEncodeError as error:
        return "invalid_encoding", f"{error.reason} at character {error.start}"
    return None


def _lines(name: str, stream: Bytes) -> Iterator[_Part]:
    line, pending, skipping, skipped = 1, bytearray(), False, 0
    for chunk in stream:
        if skipping:
            before, newline, chunk = chunk.partition(b"\n")
            skipped += len(before)
            if not newline:
                continue
            yield _too_long(name, line, skipped)
            skipping, line = False, line + 1
        pending += chunk
        if len(pending) < BLOCK_BYTES:
            continue
        cut = pending.rfind(b"\n") + 1
        if cut:
            block = bytes(pending[:cut])
            del pending[:cut]
            yield _Part(name, line, block, "lines", stream.encoding)
            line += block.count(b"\n")
        if len(pending) > MAX_LINE_BYTES:
            skipping, skipped = True, len(pending)
            pending.clear()
    if skipping:
        yield _too_long(name, line, skipped)
    if stream.broken:
        cut = pending.rfind(b"\n") + 1
        whole = bytes(pending[:cut])
        if whole:
            yield _Part(name, line, whole, "lines", stream.encoding)
        yield from _broken(name, line + whole.count(b"\n"), stream)
    elif pending:
        yield _Part(name, line, bytes(pending), "lines", stream.encoding)


def _too_long(name: str, line: int, size: int) -> _Part:
    return _problem(name, line, "line_too_long", f"over {MAX_LINE_BYTES >> 20} MiB", size)


def _whole_file(file: Packed, compression: str | None, kind: str) -> _Part:
    stream = Bytes(file, compression)
    whole = stream.whole(MAX_LINE_BYTES)
    if whole is None:
        detail = f"a {kind} file over {MAX_LINE_BYTES >> 20} MiB; make it JSON lines"
        return _problem(file.name, 1, "line_too_long", detail, file.size)
    if stream.broken:
        return _problem(file.name, 1, *stream.broken, max(file.size, len(whole)))
    if PurePosixPath(file.name).name == "README.md" and _is_card(whole):
        return _problem(file.name, 1, "dataset_card", "the description of a data set, not a text of it", 0)
    return _Part(file.name, 1, whole, kind, stream.encoding)


def _is_card(whole: bytes) -> bool:
    """Whether a page begins with a data set's description; its end is looked for first, and so each byte once."""
    end = whole.find(b"\n---", 3) if whole.startswith(b"---") else -1
    return end > 0 and _CARD_KEY.search(whole, 0, end) is not None


def _records(name: str, stream: Bytes, kind: str) -> Iterator[_Part]:
    rows: list[RowOrProblem] = []
    lines: list[int] = []
    line, size = 1, 0
    for line, length, record in csv_records(stream, kind == ".tsv", MAX_LINE_BYTES):
        lines.append(line)
        rows.append(record if isinstance(record, dict) else Problem(line, *record, length))
        size += length
        if len(rows) == _RECORDS_AT_ONCE or size > BLOCK_BYTES:
            yield _Part(name, lines[0], rows, "rows", lines=lines)
            rows, lines, size = [], [], 0
    if rows:
        yield _Part(name, lines[0], rows, "rows", lines=lines)
    yield from _broken(name, line + 1, stream)


def _rows(name: str, stream: Bytes, numbered: Iterator[tuple[int, RowOrProblem]]) -> Iterator[_Part]:
    """Rows with their lines, some at once."""
    rows: list[RowOrProblem] = []
    lines: list[int] = []
    for line, row in numbered:
        rows.append(row)
        lines.append(line)
        if len(rows) == _RECORDS_AT_ONCE:
            yield _Part(name, lines[0], rows, "rows", lines=lines)
            rows, lines = [], []
    if rows:
        yield _Part(name, lines[0], rows, "rows", lines=lines)
    yield from _broken(name, (lines or [0])[-1] + 1, stream)


def _table(file: Packed, kind: str) -> Iterator[_Part]:
    import pyarrow

    line = 1
    try:
        with file.rewindable().open() as stream:
            for rows in table_batches(stream, kind):
                yield _Part(file.name, line, [*rows], "rows")
                line += len(rows)
    except UnpacksTooFar as error:
        yield _problem(file.name, line, "unpacks_too_far", str(error), file.size)
    except (pyarrow.ArrowException, *_FILE_TROUBLE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's trouble, not the file's
        detail = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
        yield _problem(file.name, line, "file_breaks_off", detail, file.size)


def _sheets(file: Packed) -> Iterator[_Part]:
    """Rows of a workbook; it is a zip archive, and unpacks no further than one may."""
    rows: list[RowOrProblem] = []
    lines: list[int] = []
    try:
        with file.rewindable().open() as stream:
            with zipfile.ZipFile(stream) as inside:
                members = inside.infolist()
                file.allowance.take(sum(info.file_size for info in members))
                if any(is_misplaced(inside, info) for info in members):
                    raise zipfile.BadZipFile("a part of it is said to lie outside of it")
            for line, row in sheet_rows(stream):
                lines.append(line)
                rows.append(row)
    except UnpacksTooFar as error:
        yield _problem(file.name, 0, "unpacks_too_far", str(error), file.size)
    except _FILE_TROUBLE as error:
        detail = f"no readable .xlsx: {str(error)[:200]}"
        yield _problem(file.name, (lines or [0])[-1] + 1, "file_breaks_off", detail, file.size)
    for begin in range(0, len(rows), _RECORDS_AT_ONCE):
        end = begin + _RECORDS_AT_ONCE
        yield _Part(file.name, lines[begin], rows[begin:end], "rows", lines=lines[begin:end])


def suite_files(benchmarks: Path) -> tuple[Path, ...]:
    """The suites of a `benchmarks` artifact."""
    return tuple(sorted(path for path in benchmarks.glob("*.jsonl")))
