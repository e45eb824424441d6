"""What each character is: lookup tables over Unicode, and batches of text as arrays of code points.

A batch of N documents is two arrays: `codes` (uint32 code points of all documents, end to end) and
`starts` (int64, N + 1 offsets into `codes`). Compiled loops over these are what makes the chain fast.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
Starts = NDArray[np.int64]
Changed = list[tuple[int, str]]
"""(number of the document in its batch, kind of the change) of all that a step changed in a batch."""

OTHER, SPACE, NEWLINE, DIGIT, LATIN, SYLLABLE, JAMO, OLD_JAMO, LETTER, PUNCTUATION, SYMBOL, MARK = range(12)
"""Classes of characters. JAMO are the free-standing compatibility letters (ㅋ, ㅠ), OLD_JAMO the conjoining ones.

Compiled loops hold the numbers as constants, and numba's cache of a loop looks at its own file only: who changes the
order here removes the `__pycache__` of this folder."""
WORD = (DIGIT, LATIN, SYLLABLE, JAMO, OLD_JAMO, LETTER, MARK)
"""Classes of what words are made of; all others part them."""

SYLLABLES = "가-힣"
"""The Hangul syllables, for a regular expression's class of characters."""
UNICODE_END = 0x110000
REPLACEMENT = 0xFFFD


def syllables_ending_in(final: int) -> str:
    """Every Hangul syllable with the final consonant of this number, 0 for none (Unicode 3.12)."""
    return "".join(chr(code) for code in range(0xAC00 + final, 0xD7A4, 28))


class Texts(Sequence[str]):
    """A batch of documents, as strings and as arrays; each form is made when it is first asked for."""

    def __init__(self, codes: Codes, starts: Starts):
        self.codes, self.starts = codes, starts
        self._strings: list[str] | None = None

    @classmethod
    def of(cls, strings: Sequence[str]) -> "Texts":
        """The batch of some strings, which hold no lone surrogates."""
        starts = np.zeros(len(strings) + 1, np.int64)
        np.cumsum([len(text) for text in strings], out=starts[1:])
        codes = np.frombuffer("".join(strings).encode("utf-32-le"), np.uint32)
        return cls(codes.copy(), starts)  # writable, as all others are: numba would compile its loops twice

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: Any) -> Any:
        return self.strings[index]

    @property
    def strings(self) -> list[str]:
        """The documents."""
        if self._strings is None:
            whole = self.codes[: self.starts[-1]].tobytes().decode("utf-32-le")
            pairs = zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)
            self._strings = [whole[begin:end] for begin, end in pairs]
        return self._strings

    def piece(self, begin: int, end: int) -> str:
        """Characters from `begin` to `end` of the whole batch."""
        return self.codes[begin:end].tobytes().decode("utf-32-le")

    def select(self, indices: Sequence[int]) -> "Texts":
        """Some of the documents."""
        if len(indices) == len(self):
            return self
        parts = [self.codes[self.starts[index] : self.starts[index + 1]] for index in indices]
        starts = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(part) for part in parts], out=starts[1:])
        return Texts(np.concatenate([self.codes[:0], *parts]), starts)

    def replace(self, pieces: Sequence[tuple[int, int, str]]) -> "Texts":
        """The batch with some pieces replaced: (begin, end, new text), in order and apart; none spans documents."""
        if not pieces:
            return self
        parts, last = [], 0
        ends, growth = np.empty(len(pieces), np.int64), np.empty(len(pieces) + 1, np.int64)
        growth[0] = 0
        for number, (begin, end, text) in enumerate(pieces):
            parts += [self.codes[last:begin], np.frombuffer(text.encode("utf-32-le"), np.uint32)]
            ends[number], growth[number + 1] = end, growth[number] + len(text) - (end - begin)
            last = end
        codes = np.concatenate([*parts, self.codes[last : self.starts[-1]]])
        return Texts(codes, self.starts + growth[np.searchsorted(ends, self.starts, side="right")])


def classes_of(text: str) -> NDArray[np.uint8]:
    """Class of each character of a text."""
    return classes()[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)]


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
