"""How the corpus' own files are packed, and any packed file read whole."""

from collections.abc import Iterable
from pathlib import Path

import zstandard

LEVEL = 3
"""Of what stays."""
LEVEL_ASIDE = -3
"""Of what is read once and thrown away: speed is all that counts."""


def packed_aside(pieces: Iterable[bytes]) -> bytes:
    """Pieces, one after the other, for a file between the steps."""
    content: bytes = zstandard.ZstdCompressor(level=LEVEL_ASIDE).compress(b"".join(pieces))
    return content


def unpacked(path: Path) -> bytes:
    """The content of a file that was packed in any way."""
    with path.open("rb") as stream:
        content: bytes = zstandard.ZstdDecompressor().stream_reader(stream).read()
        return content
