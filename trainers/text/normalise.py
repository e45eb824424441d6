"""One form for equal text: NFC, widths, quotes, spaces, invisible characters, and repeats that mean nothing.

What soynlp's `repeat_normalize` and `emoticon_normalize` mean is kept (ㅋㅋㅋㅋㅋ -> ㅋㅋ, ㅋㅋ쿠ㅜㅜ -> ㅋㅋㅜㅜ);
what they break is not: digits, Latin letters, code and rulers are never shortened, syllables never swallowed.
Normalising twice gives the same as once.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trainers.contract.recipe.data import NormaliseSettings
from trainers.text.characters import JAMO, SYLLABLE, SYMBOL, UNICODE_END, Changed, Codes, Starts, Texts, classes

_DELETE = 0xFFFFFFFF
_JOINER = 0x200D
KINDS = ("", "invisible", "control", "width", "quotes", "spaces", "unicode_form", "repeats")
"""What a normalisation may have repaired, by number; the first is no repair."""
_INVISIBLE, _CONTROL, _WIDTH, _QUOTES, _SPACES, _FORM, _REPEATS = range(1, 8)
_PLAIN, _LETTER, _BLANK, _SPACE = range(4)
_MARKS = "!?~^.…♥♡★☆;"
_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_MARK_RUN = 3
"""A run of marks keeps this many: `...` is an ellipsis and `!!!` still an exclamation."""


def normalise(texts: Texts, settings: NormaliseSettings) -> tuple[Texts, Changed]:
    """Normalise a batch; also gives each document's kinds of repair, each kind once."""
    if settings.compatibility == "fold":
        texts = Texts.of([_fold(text) for text in texts.strings])
    replacement, kind, special = _translation(settings.width == "half", settings.quotes == "straight")
    codes, starts, seen, unstable = _translate(
        texts.codes, texts.starts, special, replacement, kind, _unstable_in_nfc(), classes()
    )
    texts = Texts(codes, starts)
    composed = []
    for index in np.flatnonzero(unstable).tolist():
        begin, end = int(starts[index]), int(starts[index + 1])
        piece = texts.piece(begin, end)
        if not unicodedata.is_normalized("NFC", piece):
            composed.append((begin, end, unicodedata.normalize("NFC", piece)))
            seen[index, _FORM] = True
    texts = texts.replace(composed)
    tables = (classes(), _roles(), _mark_table(), _initials())
    codes, starts, shortened = _tidy(texts.codes, texts.starts, *tables, settings.repeats)
    seen[:, _REPEATS] = shortened
    seen[:, 0] = False
    return Texts(codes, starts), [(document, KINDS[kind]) for document, kind in np.argwhere(seen).tolist()]


def _fold(text: str) -> str:
    """NFKC (㈜ -> (주), ㎏ -> kg), sparing the letters ㄱ..ㅣ, which NFKC would turn into unreadable jamo."""
    if unicodedata.is_normalized("NFKC", text):
        return text
    return "".join(c if "\u3131" <= c <= "\u318e" else unicodedata.normalize("NFKC", c) for c in text)


@cache
def _translation(half: bool, straight: bool) -> tuple[Codes, NDArray[np.uint8], NDArray[np.bool_]]:
    """What each character of the basic plane becomes, which kind of repair that is, and who needs a look at all."""
    to = np.arange(0x10000, dtype=np.uint32)
    kind = np.zeros(0x10000, np.uint8)

    def change(codes: Sequence[int], target: int | None, why: int) -> None:
        to[list(codes)] = _DELETE if target is None else target
        kind[list(codes)] = why

    change([*range(0x09), *range(0x0E, 0x20), *range(0x7F, 0xA0)], None, _CONTROL)
    change([0xAD, 0x034F, 0x061C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F)], None, _INVISIBLE)
    change([*range(0x2060, 0x2070), 0xFEFF, 0x115F, 0x1160, 0x3164, 0xFFA0], None, _INVISIBLE)
    change([0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029], 0x0A, _SPACES)
    change([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], 0x20, _SPACES)
    if half:
        for code in range(0xFF01, 0xFF5F):
            change([code], code - 0xFEE0, _WIDTH)
        for code in (*range(0xFF61, 0xFFA0), *range(0xFFA1, 0xFFDD), *range(0xFFE0, 0xFFE7)):
            folded = unicodedata.normalize("NFKC", chr(code))
            if folded != chr(code) and len(folded) == 1:
                change([code], _as_letter(ord(folded)), _WIDTH)
    if straight:
        change([0x2018, 0x2019, 0x201A, 0x201B, 0x2032], 0x27, _QUOTES)
        change([0x201C, 0x201D, 0x201E, 0x201F, 0x2033], 0x22, _QUOTES)
    return to, kind, (kind > 0) | _unstable_in_nfc()


def _as_letter(code: int) -> int:
    """The free-standing letter of a conjoining jamo (NFKC of a half-width letter gives the conjoining one)."""
    return _letters_of_jamo().get(code, code)


@cache
def _letters_of_jamo() -> dict[int, int]:
    pairs = ((unicodedata.normalize("NFKC", chr(letter)), letter) for letter in range(0x3131, 0x318F))
    return {ord(jamo): letter for jamo, letter in pairs if len(jamo) == 1}


@cache
def _unstable_in_nfc() -> NDArray[np.bool_]:
    """Characters whose presence means that NFC might change the text."""
    table = np.zeros(0x10000, np.bool_)
    for code in range(0x10000):
        char = chr(code)
        table[code] = unicodedata.combining(char) or (
            not 0xD800 <= code < 0xE000 and unicodedata.normalize("NFC", char) != char
        )
        parts = unicodedata.decomposition(char).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            table[int(parts[1], 16)] = True
    table[0x1161:0x1200] = True
    table[0xD7B0:0xD800] = True
    return table


@cache
def _roles() -> NDArray[np.uint8]:
    """What `_tidy` asks of each character first: most are none of its business."""
    table = np.zeros(UNICODE_END, np.uint8)
    table[classes() == JAMO] = _LETTER
    table[[0x09, 0x0A]] = _BLANK
    table[0x20] = _SPACE
    return table


@cache
def _mark_table() -> NDArray[np.bool_]:
    table = np.zeros(0x10000, np.bool_)
    table[[ord(mark) for mark in _MARKS]] = True
    return table


@cache
def _initials() -> Codes:
    return np.array([ord(letter) for letter in _INITIALS], np.uint32)


@njit(cache=True)
def _translate(
    codes: Codes,
    starts: Starts,
    special: NDArray[np.bool_],
    replacement: Codes,
    kinds: NDArray[np.uint8],
    unstable_table: NDArray[np.bool_],
    classes_: NDArray[np.uint8],
) -> tuple[Codes, Starts, NDArray[np.bool_], NDArray[np.bool_]]:
    """Replace and delete single characters; say per document what was seen and whether NFC must look at it."""
    documents = len(starts) - 1
    out = np.empty(len(codes), np.uint32)
    out_starts = np.zeros(documents + 1, np.int64)
    seen = np.zeros((documents, 8), np.bool_)
    unstable = np.zeros(documents, np.bool_)
    position, one = np.uintp(0), np.uintp(1)  # unsigned: no check for places before the array's first
    for document in range(documents):
        begin = position
        text = codes[starts[document] : starts[document + 1]]
        for i in range(len(text)):
            code = text[i]
            if code >= 0x10000:
                unstable[document] |= 0x11000 <= code < 0x12000 or 0x1D000 <= code < 0x1D200 or code >= 0x2F800
            elif special[code]:
                if kinds[code] != 0:
                    joins = code == _JOINER and position > begin
                    if joins and (out[position - one] == 0xFE0F or classes_[out[position - one]] == SYMBOL):
                        out[position] = code  # inside an emoji sequence
                        position += one
                        continue
                    if code == 13 and i + 1 < len(text) and text[i + 1] == 10:
                        continue
                    seen[document, kinds[code]] = True
                    code = replacement[code]
                    if code == _DELETE:
                        continue
                unstable[document] |= unstable_table[code]
            out[position] = code
            position += one
        out_starts[document + 1] = position
    return out[:position], out_starts, seen, unstable


@njit(cache=True)
def _emit(out: Codes, begin: int, position: int, code: int, count: int, limit: int) -> int:
    """Append `code` `count` times, but let its run grow no longer than `limit` (0: any length)."""
    if limit > 0:
        run = 0
        while run < limit and position - run > begin and out[position - run - 1] == code:
            run += 1
        count = min(count, limit - run)
    for _ in range(count):
        out[position] = code
        position += 1
    return position


@njit(cache=True)
def _tidy(
    codes: Codes,
    starts: Starts,
    classes_: NDArray[np.uint8],
    roles: NDArray[np.uint8],
    marks: NDArray[np.bool_],
    initials: Codes,
    repeats: int,
) -> tuple[Codes, Starts, NDArray[np.bool_]]:
    """Spaces, line ends and repeats. Returns codes, starts, and which documents had a repeat shortened."""
    documents = len(starts) - 1
    out = np.empty(len(codes) + len(codes) // 3 + 2, np.uint32)
    out_starts = np.zeros(documents + 1, np.int64)
    shortened = np.zeros(documents, np.bool_)
    position = 0
    for document in range(documents):
        begin, i, end = position, starts[document], starts[document + 1]
        newlines, indent, space, fresh = 0, i, 0, True
        ordinary = False  # inside a line, and not behind a letter that a syllable may repeat
        while i < end:
            code = codes[i]
            if ordinary:  # single characters and single spaces between them, which stay as they are
                role = roles[code]
                while i + 1 < end:
                    after = codes[i + 1]
                    role_after = roles[after]
                    if (role != _PLAIN or after == code) and (role != _SPACE or role_after >= _BLANK):
                        break
                    out[position] = code
                    position += 1
                    i += 1
                    code, role = after, role_after
            if code == 10:
                newlines, indent, space, fresh, ordinary = newlines + 1, i + 1, 0, True, False
                i += 1
                continue
            if code == 32 or code == 9:
                space, ordinary = max(space, 2 if code == 9 else 1), False
                i += 1
                continue
            starts_line = fresh
            if fresh:
                if position > begin:
                    position = _emit(out, begin, position, 10, min(newlines, 2), 0)
                    for k in range(indent, i):
                        out[position] = codes[k]
                        position += 1
                newlines, fresh = 0, False
            elif space:
                out[position] = 9 if space == 2 else 32
                position += 1
            space = 0
            run_end = i + 1
            while run_end < end and codes[run_end] == code:
                run_end += 1
            length = run_end - i
            kind = classes_[code]
            ordinary = kind != JAMO
            before = position
            if repeats == 0:
                position = _emit(out, begin, position, code, length, 0)
            elif kind == JAMO:
                position = _emit(out, begin, position, code, length, repeats)
            elif kind == SYLLABLE:
                initial = initials[(code - 0xAC00) // 588]
                vowel = 0x314F + (code - 0xAC00) % 588 // 28
                laughs = (code - 0xAC00) % 28 == 0 and position > begin and out[position - 1] == initial
                if laughs and run_end < end and codes[run_end] == vowel:  # ㅋㅋ쿠ㅜㅜ
                    position = _emit(out, begin, position, initial, length, repeats)
                    position = _emit(out, begin, position, vowel, length, repeats)
                    shortened[document], ordinary = True, False
                    before = position - length
                else:
                    position = _emit(out, begin, position, code, length, repeats)
            else:
                keep = length
                if code < 0x10000 and marks[code] and length > _MARK_RUN:
                    after = run_end
                    while after < end and (codes[after] == 32 or codes[after] == 9):
                        after += 1
                    ruler = starts_line and (after == end or codes[after] == 10)
                    if not ruler:
                        keep = max(repeats, _MARK_RUN)
                position = _emit(out, begin, position, code, min(keep, length), 0)
            shortened[document] |= position - before < length
            i = run_end
        out_starts[document + 1] = position
    return out[:position], out_starts, shortened
