"""A corpus of any size from a file of real text: copies of it, with seeded edits that make their documents new ones."""

from itertools import islice
from pathlib import Path

import numpy as np

_FIRST, _SYLLABLES = 0xAC00, 11172
_EVERY = 3
"""Words between two edits: no five words, which near duplicates are told by, are without one."""
_LINES = 2000


def write_synthetic(source: Path, target: Path, size: int) -> None:
    """JSON lines of `size` bytes or a little more; the first copy is the source itself."""
    copy, written = 0, 0
    with target.open("wb") as out:
        while written < size:
            with source.open("rb") as lines:
                for number, some in enumerate(iter(lambda: [*islice(lines, _LINES)], [])):
                    rows = b"".join(some)
                    written += out.write(_edited(rows, copy, number) if copy else rows)
                    if written >= size:
                        break
            copy += 1


def _edited(lines: bytes, copy: int, number: int) -> bytes:
    """The last syllable of every third Korean word is a random one; JSON stays JSON, and ids stay apart."""
    codes = np.frombuffer(lines.decode().encode("utf-32-le"), np.uint32).copy()
    is_syllable = (codes >= _FIRST) & (codes < _FIRST + _SYLLABLES)
    last = np.flatnonzero(is_syllable & ~np.append(is_syllable[1:], False))[::_EVERY]
    codes[last] = np.random.default_rng([copy, number]).integers(_FIRST, _FIRST + _SYLLABLES, len(last))
    return codes.tobytes().decode("utf-32-le").encode().replace(b'{"id": "', f'{{"id": "{copy}-'.encode())
