"""The bytes of a file, however it is packed: .gz, .zst, .xz, byte order marks, UTF-16."""

import codecs
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zstandard

from trainers.text.decode import UTF8_MARK, encoding_of

COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".xz": "xz"}
CHUNK = 1 << 20
_PACKED_CHUNK = 1 << 16
_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "xz": lzma.LZMADecompressor,
}


class Bytes:
    """A file's bytes, unpacked, without encoding mark; UTF-16 arrives as UTF-8. `broken`: why it ended early.

    `encoding` is that of the bytes given, but for UTF-16; `sample` is the file's first megabyte as it is there.
    """

    def __init__(self, path: Path, compression: str | None):
        self._path, self._compression = path, compression
        self.broken: str | None = None
        chunks = self._unpacked()
        sample = b""
        while len(sample) < CHUNK and (chunk := next(chunks, b"")):
            sample += chunk
        self.encoding = encoding_of(sample)
        self.sample, self.is_sample_all = sample, len(sample) < CHUNK
        self._chunks = self._from(sample, chunks)

    def _unpacked(self) -> Iterator[bytes]:
        """Decompressed chunks; unlike the libraries' own readers it gives all that can be read of a cut-off file."""
        with self._path.open("rb") as stream:
            if self._compression is None:
                while chunk := stream.read(CHUNK):
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
