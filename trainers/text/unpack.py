"""The bytes of a file, however it is packed: .gz, .zst, .xz, .bz2, byte order marks, UTF-16; never without bound.

What a file holds counts for more than its name: browsers unpack a `.gz` on the way and leave its name.
"""

import bz2
import codecs
import io
import lzma
import re
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import zstandard

from trainers.text.decode import UTF8_MARK, encoding_of

COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".xz": "xz", ".bz2": "bzip2"}
CHUNK = 1 << 20
_BEGINS = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
    "bzip2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
}
_HIDDEN = {".json", ".jsonl", ".ndjson", ".csv", ".tsv"}
"""Windows' editor and mail programs put `.txt` behind these: `a.jsonl.txt` is no text."""
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a]")
_PACKED_CHUNK = 1 << 16
_ZSTD_PACKED_CHUNK = 1 << 12
"""zstandard gives all that its input unpacks to at once: at most 128 KiB for each four bytes of it."""
_XZ_MEMORY = 512 << 20
MOST_EXPANSION = 200
"""A file may unpack to so many times its size: text packs to a third, the most repetitive of it to a fiftieth."""
LEAST_ALLOWANCE = 64 << 20
"""And to so many bytes in any case."""


def kind_of(name: str) -> tuple[str, str | None]:
    """The suffix that says what a file is, in small letters, and how its name says that it is compressed."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    compression = COMPRESSED.get(suffixes[-1]) if suffixes else None
    if compression and len(suffixes) > 1:
        suffixes.pop()
    if suffixes[-1:] == [".txt"] and suffixes[-2:-1] and suffixes[-2] in _HIDDEN:
        suffixes.pop()
    return (suffixes or [""])[-1], compression


class Broken(NamedTuple):
    """Why a file ended before its end: reason and detail."""

    reason: str
    detail: str


class UnpacksTooFar(Exception):
    """What is unpacked is out of all proportion to the file."""


class Allowance:
    """How many bytes a file may unpack to; the members of an archive share the archive's."""

    def __init__(self, packed: int):
        self.bytes = self._left = max(LEAST_ALLOWANCE, packed * MOST_EXPANSION)

    def take(self, count: int) -> None:
        """Count what was unpacked.

        Raises:
            UnpacksTooFar: it is more than there may be.
        """
        self._left -= count
        if self._left < 0:
            raise UnpacksTooFar(
                f"unpacks to more than {self.bytes >> 20} MiB, {MOST_EXPANSION} times its size; unpack it yourself if "
                "that is meant"
            )


@dataclass(frozen=True)
class Packed:
    """Something with bytes, a file or a member of an archive: its name, its size as it lies there, how it is opened."""

    name: str
    size: int
    open: Callable[[], BinaryIO]
    allowance: Allowance

    @classmethod
    def file(cls, name: str, path: Path) -> "Packed":
        """A file on the disk."""
        size = path.stat().st_size
        return cls(name, size, lambda: path.open("rb"), Allowance(size))

    def rewindable(self) -> "Packed":
        """The same, to be wound back; a member of an archive is copied aside, which the archive's allowance bounds."""

        def open_it() -> BinaryIO:
            stream = self.open()
            if stream.seekable():
                return stream
            aside = tempfile.TemporaryFile()  # noqa: SIM115 - whoever opens it closes it
            with stream:
                while chunk := stream.read(CHUNK):
                    aside.write(chunk)
            aside.seek(0)
            return aside

        return replace(self, open=open_it)


class Bytes:
    """A file's bytes, unpacked, without encoding mark; UTF-16 and -32 arrive as UTF-8. `broken`: why it ended early.

    `encoding` is that of the bytes given, but for those; `sample` is the file's first megabyte as it is there.
    """

    def __init__(self, packed: Packed, compression: str | None, is_text: bool = True):
        self._packed, self._compression, self._is_text = packed, compression, is_text
        self.broken: Broken | None = None
        self._read = 0
        self._given = 0
        chunks = self._unpacked()
        sample = b""
        while len(sample) < CHUNK and (chunk := next(chunks, b"")):
            sample += chunk
        self.bom_encoding = encoding_of(sample) if is_text else "utf-8"
        self.encoding = "utf-8" if self._is_wide else self.bom_encoding
        self.sample, self.is_sample_all = sample, len(sample) < CHUNK
        self._chunks = self._from(sample, chunks)

    @property
    def _is_wide(self) -> bool:
        return self.bom_encoding.startswith(("utf-16", "utf-32"))

    @property
    def size(self) -> int:
        """Bytes of the file as it lies there."""
        return self._packed.size

    @property
    def unread(self) -> int:
        """Bytes that a break took away, about: what is left of the file, as far as the rest of it unpacked."""
        if not self.broken:
            return 0
        if not self._given:
            return self._packed.size
        return (self._packed.size - self._read) * self._given // max(1, self._read)

    @property
    def beginning(self) -> str:
        """The first megabyte as text."""
        return self.sample.decode(self.bom_encoding, "replace").removeprefix("\ufeff")

    def _unpacked(self) -> Iterator[bytes]:
        """Decompressed chunks; unlike the libraries' own readers it gives all that can be read of a cut-off file."""
        try:
            with self._packed.open() as stream:
                for chunk in self._chunks_of(stream):
                    self._given += len(chunk)
                    yield chunk
        except UnpacksTooFar as error:
            self.broken = Broken("unpacks_too_far", str(error))
        except DAMAGE as error:
            self.broken = Broken("file_breaks_off", f"{type(error).__name__}: {error}")

    def _chunks_of(self, stream: BinaryIO) -> Iterator[bytes]:
        first = stream.read(CHUNK)
        compression = _compression_of(first, self._compression)
        if compression is None:
            while chunk := first or stream.read(CHUNK):
                first = b""
                self._read += len(chunk)
                yield chunk
            return
        member: Any = None
        packed, piece = b"", _ZSTD_PACKED_CHUNK if compression == "zstd" else _PACKED_CHUNK
        pieces = chain(_cut(first, piece), iter(lambda: stream.read(piece), b""))
        while packed := packed or next(pieces, b""):
            if member is None or member.eof:  # files may be several members end to end
                if member is not None and not packed.strip(b"\0"):
                    self._read, packed = self._read + len(packed), b""
                    continue  # a block's padding
                member = _DECOMPRESSORS[compression]()
            self._read += len(packed)
            for chunk in _decompressed(member, packed):
                self._packed.allowance.take(len(chunk))
                yield chunk
            packed = member.unused_data if member.eof else b""
            self._read -= len(packed)
        if member is not None and not member.eof:
            self.broken = Broken("file_breaks_off", "the compressed file is cut off")

    def _from(self, sample: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
        if not self._is_wide:
            yield sample.removeprefix(UTF8_MARK) if self._is_text else sample
            yield from rest
            return
        decoder = codecs.getincrementaldecoder(self.bom_encoding)("replace")
        yield decoder.decode(sample).removeprefix("\ufeff").encode("utf-8", "replace")
        for chunk in rest:
            yield decoder.decode(chunk).encode("utf-8", "replace")
        yield decoder.decode(b"", final=True).encode("utf-8", "replace")

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def whole(self, most: int) -> bytes | None:
        """All of it; None where that is more than `most` bytes."""
        whole = io.BytesIO()
        for chunk in self:
            whole.write(chunk)
            if whole.tell() > most:
                return None
        return whole.getvalue()


def _compression_of(beginning: bytes, named: str | None) -> str | None:
    """How a file is compressed by what it begins with; by its name where it begins with nothing that can be read."""
    for compression, begins in _BEGINS.items():
        if begins.match(beginning):
            return compression
    return None if _NO_TEXT.search(beginning[:1000]) is None else named


def _cut(data: bytes, piece: int) -> Iterator[bytes]:
    return (data[begin : begin + piece] for begin in range(0, len(data), piece))


_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "xz": lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY),
    "bzip2": bz2.BZ2Decompressor,
}
_ZLIB = type(zlib.decompressobj())
DAMAGE = (
    *(zlib.error, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile, tarfile.TarError, EOFError),
    *(ValueError, OverflowError, NotImplementedError),
)
"""What a library raises at bytes that are not what it wrote: zipfile at a version or a name that it cannot read, and
tarfile at a number that is none, do so by Python's own errors."""


def _decompressed(member: Any, packed: bytes) -> Iterator[bytes]:
    """What a member gives for some packed bytes, in pieces that fit into memory."""
    if isinstance(member, lzma.LZMADecompressor | bz2.BZ2Decompressor):
        try:
            yield member.decompress(packed, CHUNK)
            while not (member.eof or member.needs_input):
                yield member.decompress(b"", CHUNK)
        except OSError as error:  # how bz2 says that the bytes are none of its own
            raise EOFError(str(error)) from error
    elif isinstance(member, _ZLIB):
        yield member.decompress(packed, CHUNK)
        while member.unconsumed_tail and not member.eof:
            yield member.decompress(member.unconsumed_tail, CHUNK)
    else:
        yield member.decompress(packed)
