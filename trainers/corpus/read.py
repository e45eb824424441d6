"""Reading whatever was dropped: files become blocks of raw lines or records, each with its place of origin.

Compression: .gz, .zst, .xz. Formats: .jsonl/.ndjson, .txt and .md (a file is a document), .html (text extracted),
.parquet and .arrow (Hugging Face data sets). A file that breaks off gives what could be read, and the reason.
"""

import codecs
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from trainers.artifacts import READY_MARKER
from trainers.corpus.decode import UTF8_MARK, encoding_of

BLOCK_BYTES = 8 << 20
"""Work is done and published in blocks of about this size; the results do not depend on it."""
MAX_LINE_BYTES = 64 << 20
_CHUNK = 1 << 20
_PACKED_CHUNK = 1 << 16
_COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".xz": "xz"}
_LINES = {".jsonl", ".ndjson"}
_WHOLE = {".txt", ".md", ".html", ".htm"}
_TABLES = {".parquet", ".arrow"}
FORMATS = ", ".join(sorted(_LINES | _WHOLE | _TABLES))
_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "xz": lzma.LZMADecompressor,
}


@dataclass(frozen=True)
class Problem:
    """Something that could not be read, and why."""

    line: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Block:
    """A piece of one file: raw lines, a whole text, or rows of a table; `line` counts from 1."""

    number: int
    file: str
    line: int
    payload: bytes | list[dict[str, Any]]
    kind: str  # "lines", "text", "html", "rows" or "problem"
    encoding: str = "utf-8"
    problem: Problem | None = None

    @property
    def size(self) -> int:
        """Bytes of the payload (rows count as their texts)."""
        return len(self.payload) if isinstance(self.payload, bytes) else sum(len(str(row)) for row in self.payload)


def files_below(root: Path) -> dict[str, Path]:
    """Files to read under a folder (or the one file), by their name relative to it, in order."""
    if root.is_file():
        return {root.name: root}
    found = (path for path in root.rglob("*") if path.is_file() and path.name != READY_MARKER)
    named = {path.relative_to(root).as_posix(): path for path in found}
    return {name: named[name] for name in sorted(named) if not any(part.startswith(".") for part in name.split("/"))}


def read_blocks(files: dict[str, Path]) -> Iterator[Block]:
    """All blocks of all files, numbered in order; the same files give the same blocks."""
    number = 0
    for name, path in files.items():
        for block in _file_blocks(name, path):
            yield Block(number, *block)
            number += 1


_Parts = tuple[str, int, bytes | list[dict[str, Any]], str, str, Problem | None]


def _file_blocks(name: str, path: Path) -> Iterator[_Parts]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = _COMPRESSED.get(suffixes[-1]) if suffixes else None
    kind = suffixes[-2] if compression and len(suffixes) > 1 else (suffixes or [""])[-1]
    if kind in _TABLES and not compression:
        yield from _table_blocks(name, path, kind)
    elif kind in _LINES:
        yield from _line_blocks(name, path, compression)
    elif kind in _WHOLE:
        yield _whole_file(name, path, compression, "html" if kind.startswith(".htm") else "text")
    else:
        yield _problem(
            name, 0, "unsupported_file", f"{kind or 'no'} extension; readable: {FORMATS}, .gz .zst .xz of them"
        )


def _problem(name: str, line: int, reason: str, detail: str) -> _Parts:
    return name, line, b"", "problem", "utf-8", Problem(line, reason, detail)


def _line_blocks(name: str, path: Path, compression: str | None) -> Iterator[_Parts]:
    line, pending, skipping = 1, bytearray(), False
    stream = _Bytes(path, compression)
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
            yield name, line, block, "lines", encoding, None
            line += block.count(b"\n")
        if len(pending) > MAX_LINE_BYTES:
            yield _problem(name, line, "line_too_long", f"over {MAX_LINE_BYTES >> 20} MiB")
            pending.clear()
            skipping = True
    if stream.broken:
        cut = pending.rfind(b"\n") + 1
        whole = bytes(pending[:cut])
        if whole:
            yield name, line, whole, "lines", encoding, None
        yield _problem(name, line + whole.count(b"\n"), "file_breaks_off", stream.broken)
    elif pending:
        yield name, line, bytes(pending), "lines", encoding, None


class _Bytes:
    """A file's bytes, unpacked, without encoding mark; UTF-16 arrives as UTF-8. `broken`: why it ended early."""

    def __init__(self, path: Path, compression: str | None):
        self._path, self._compression = path, compression
        self.broken: str | None = None
        chunks = self._unpacked()
        sample = b""
        while len(sample) < _CHUNK and (chunk := next(chunks, b"")):
            sample += chunk
        self.encoding = encoding_of(sample)
        self._chunks = self._from(sample, chunks)

    def _unpacked(self) -> Iterator[bytes]:
        """Decompressed chunks; unlike the libraries' own readers it gives all that can be read of a cut-off file."""
        with self._path.open("rb") as stream:
            if self._compression is None:
                while chunk := stream.read(_CHUNK):
                    yield chunk
                return
            new = _DECOMPRESSORS[self._compression]
            member, packed = new(), b""
            try:
                while packed := packed or stream.read(_PACKED_CHUNK):
                    if member.eof:  # files may be several members end to end
                        member = new()
                    if chunk := member.decompress(packed):
                        yield chunk
                    packed = member.unused_data if member.eof else b""
                if not member.eof and self._path.stat().st_size:
                    self.broken = "the compressed file is cut off"
            except (zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
                self.broken = f"{type(error).__name__}: {error}"

    def _from(self, sample: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
        if not self.encoding.startswith("utf-16"):
            yield sample.removeprefix(UTF8_MARK)
            yield from rest
            return
        decoder = codecs.getincrementaldecoder(self.encoding)("replace")
        yield decoder.decode(sample).removeprefix("\ufeff").encode("utf-8", "replace")
        for chunk in rest:
            yield decoder.decode(chunk).encode("utf-8", "replace")
        yield decoder.decode(b"", final=True).encode("utf-8", "replace")

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks


def _whole_file(name: str, path: Path, compression: str | None, kind: str) -> _Parts:
    stream = _Bytes(path, compression)
    whole = io.BytesIO()
    for chunk in stream:
        whole.write(chunk)
        if whole.tell() > MAX_LINE_BYTES:
            return _problem(
                name, 1, "line_too_long", f"a {kind} file over {MAX_LINE_BYTES >> 20} MiB; make it JSON lines"
            )
    if stream.broken:
        return _problem(name, 1, "file_breaks_off", stream.broken)
    return name, 1, whole.getvalue(), kind, "utf-8" if stream.encoding.startswith("utf-16") else stream.encoding, None


def _table_blocks(name: str, path: Path, kind: str) -> Iterator[_Parts]:
    import pyarrow
    import pyarrow.parquet

    line = 1
    try:
        with path.open("rb") as stream:
            batches = (
                pyarrow.parquet.ParquetFile(stream).iter_batches(batch_size=1024)
                if kind == ".parquet"
                else pyarrow.ipc.open_stream(stream)
            )
            for batch in batches:
                rows = batch.to_pylist()
                yield name, line, rows, "rows", "utf-8", None
                line += len(rows)
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's trouble, not the file's
        yield _problem(name, line, "file_breaks_off", f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")
