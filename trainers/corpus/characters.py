"""What each character is: lookup tables over Unicode, and batches of text as arrays of code points.

A batch of N documents is two arrays: `codes` (uint32 code points of all documents, end to end) and
`starts` (int64, N + 1 offsets into `codes`). Compiled loops over these are what makes the chain fast.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
Starts = NDArray[np.int64]

OTHER, SPACE, NEWLINE, DIGIT, LATIN, SYLLABLE, JAMO, OLD_JAMO, LETTER, PUNCTUATION, SYMBOL, MARK = range(12)
"""Classes of characters. JAMO are the free-standing compatibility letters (ㅋ, ㅠ), OLD_JAMO the conjoining ones."""

UNICODE_END = 0x110000
REPLACEMENT = 0xFFFD


def to_codes(texts: Sequence[str]) -> tuple[Codes, Starts]:
    """Code points and offsets of a batch."""
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=starts[1:])
    return np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32), starts


def to_texts(codes: Codes, starts: Starts) -> list[str]:
    """The batch's documents as strings again."""
    whole = codes[: starts[-1]].tobytes().decode("utf-32-le")
    return [whole[begin:end] for begin, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]


@cache
def classes() -> NDArray[np.uint8]:
    """Class of every code point."""
    table = np.zeros(UNICODE_END, np.uint8)
    by_letter = {"L": LETTER, "N": DIGIT, "P": PUNCTUATION, "S": SYMBOL, "M": MARK, "Z": SPACE}
    for code in range(0x20000):
        table[code] = by_letter.get(unicodedata.category(chr(code))[0], OTHER)
    table[0x20000:0x32400] = LETTER  # the ideographs beyond the basic planes
    for code in (*range(0x41, 0x5B), *range(0x61, 0x7B), *range(0xC0, 0x250)):
        if table[code] == LETTER:
            table[code] = LATIN
    table[0xAC00:0xD7A4] = SYLLABLE
    table[0x3131:0x318F] = JAMO
    table[0x1100:0x1200] = OLD_JAMO
    table[0xA960:0xA97D] = OLD_JAMO
    table[0xD7B0:0xD7FC] = OLD_JAMO
    table[[0x20, 0x09]] = SPACE
    table[0x0A] = NEWLINE
    return table
