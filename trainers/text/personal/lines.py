"""The few lines that may hold personal data, found in one compiled pass, and the signs that were seen in them.

A line of ordinary text shows none of the signs and is never looked at by a recogniser; that is what makes masking fast.
"""

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trainers.text.characters import UNICODE_END, Codes, Starts
from trainers.text.personal.fold import DISGUISES, INVISIBLE, NUMBER_WORDS, SIGNS

(AT, SPELT, SWAPPED, SHORT, NUMBER, LONG, HALVES, DISGUISE, PASSPORT, DOTS, COLONS, PLACE) = (1 << n for n in range(12))
"""What a line shows: an at sign in a word; one that is spelt or set apart (골뱅이, (at), 닷컴); another sign in its
place; seven digits hardly apart, in groups as of a telephone; nine; twelve; half a resident number (뒷자리); digits
that are words, look-alikes, hidden, or each by itself; a letter and as many digits as in a passport; three dots behind
digits; colons among hexadecimal digits; a digit behind what names of streets and quarters end with."""

(_OTHER, _PLACE, _LETTER, _SEPARATOR, _JOIN, _NOTHING, _TEE, _COLON, _NEWLINE) = range(9)
(_WORD, _LIKE, _STAR, _DIGIT, _AT, _SWAP, _CLUE) = range(9, 16)
"""What a character may be a part of; from `_WORD` to `_DIGIT` the members of numbers, and from there on what a line
must hold one of. Compiled loops hold the numbers as constants."""
_PLACES, _JOINS, _CLUES, _SWAPS = "로길동리가읍면산", "에의다시대바,", "뱅권닷쩜앳뒷", "#★☆♥♡♠♣◈"
_GOL, _BAENG, _YEO, _GWON, _DWIT, _DOT, _SPACE = (ord(char) for char in "골뱅여권뒷. ")
_COM, _NET = ord("컴"), ord("넷")
_SHORT, _NUMBER, _LONG = 7, 9, 12
_MEMBERS, _CERTAIN, _GROUPS = 8, 4, 8


@cache
def _kinds() -> NDArray[np.uint8]:
    table = np.zeros(UNICODE_END, np.uint8)
    of_strings = ((_PLACES, _PLACE), (_JOINS, _JOIN), (_CLUES, _CLUE), ("°◎ⓐⒶ", _AT), (_SWAPS, _SWAP), ("\n", _NEWLINE))
    for chars, kind in of_strings:
        table[[*map(ord, chars)]] = kind
    for code in (*range(0x41, 0x5B), *range(0x61, 0x7B), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B)):
        table[code] = _LETTER
    table[[ord("t"), ord("T")]] = _TEE
    table[[*map(ord, DISGUISES)]] = _LIKE
    table[[*map(ord, NUMBER_WORDS)]] = _WORD
    meanings = {"-. ·~()/_[]{}<>": _SEPARATOR, "0123456789": _DIGIT, "*": _STAR, "@": _AT, ":": _COLON}
    for signs, kind in meanings.items():
        table[[*map(ord, signs), *(code for code, sign in SIGNS.items() if sign in signs)]] = kind
    table[[*map(ord, INVISIBLE)]] = _NOTHING
    table[[*map(ord, "Xx")]] = _STAR
    return table


def lines_to_read(codes: Codes, starts: Starts) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]:
    """Lines that may hold personal data: begin, end, and the signs that were seen in them."""
    begins, ends, signs = _lines_to_read(codes, starts, _kinds())
    return begins, ends, signs


@njit(cache=True)
def _lines_to_read(
    codes: Codes, starts: Starts, kinds: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]:
    """Most lines hold nothing that could be a part of personal data, which a look at each character's kind tells."""
    begins, ends, signs = [0], [0], [np.uint16(0)]  # first entries give numba the types
    for document in range(len(starts) - 1):
        begin, stop = starts[document], starts[document + 1]
        while begin < stop:
            end, telling, words, tees = begin, 0, 0, 0
            before = np.uint32(0)
            while end < stop:
                code = codes[end]
                kind = kinds[code]
                if kind == _NEWLINE:
                    break
                telling += kind >= _DIGIT
                words += kind == _WORD
                tees += (kind == _TEE) & ((before | 32 == 97) | (before | 32 == 111))
                before = code
                end += 1
            if telling > 0 or words >= _SHORT or (tees > 0 and _is_spelt(codes, begin, end, kinds)):
                seen = _signs(codes, begin, end, kinds)
                if seen:
                    begins.append(begin)
                    ends.append(end)
                    signs.append(np.uint16(seen))
            begin = end + 1
    return np.array(begins[1:]), np.array(ends[1:]), np.array(signs[1:])


@njit(cache=True)
def _is_spelt(codes: Codes, begin: int, end: int, kinds: NDArray[np.uint8]) -> bool:
    for i in range(begin + 2, end):  # noqa: SIM110 (numba compiles no generator)
        if kinds[codes[i]] == _TEE and _written_at(codes, begin, i, end, kinds):
            return True
    return False


@njit(cache=True)
def _signs(codes: Codes, begin: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """The signs of a line."""
    # digits: those hardly apart; members: digits and disguised ones, of which some are certain to be digits
    seen = digits = members = certain = disguised = groups = group = last_group = gap = dots = colons = 0
    last_dot = last_colon = begin - 9
    i = begin - 1
    while i + 1 < stop:
        i += 1
        kind = kinds[codes[i]]
        if kind <= _LETTER or (kind <= _NOTHING and members == 0):
            digits = members = 0
            while i + 1 < stop and kinds[codes[i + 1]] <= _NOTHING:
                i += 1
        elif kind == _TEE:
            digits = members = 0
            seen |= _written_at(codes, begin, i, stop, kinds)
        elif kind == _SEPARATOR:
            gap += 1
            if gap > 3:
                digits = 0
                if gap > 4:
                    members = 0
            if codes[i] == _DOT:
                dots = dots + 1 if i - last_dot <= 6 else 1
                last_dot = i
                if dots >= 3:
                    seen |= DOTS
        elif _WORD <= kind <= _DIGIT:
            if members == 0:
                digits = certain = disguised = groups = 0
            members += 1
            if kind == _DIGIT:
                if gap or digits == 0:
                    groups += 1
                    seen |= _behind(codes, begin, i, stop, kinds)
                    last_group, group = (group if digits else 0), 0
                digits += 1
                group += 1
                certain += 1
                if digits >= _NUMBER:
                    seen |= NUMBER | LONG if digits >= _LONG else NUMBER
                elif digits >= _SHORT and _is_short(group, last_group, codes[i - group + 1 : i + 1]):
                    seen |= SHORT
            else:
                digits = 0
                disguised += 1
                certain += kind == _WORD
            gap = 0
            if members >= _MEMBERS and certain >= _CERTAIN and (disguised or groups >= _GROUPS):
                seen |= DISGUISE
        elif kind == _JOIN:
            digits = 0
            gap += 1
            members = 0 if gap > 4 else members
        elif kind != _NOTHING:
            digits = members = 0
            if kind == _COLON:
                colons = colons + 1 if i - last_colon <= 5 else 1
                last_colon = i
                if colons >= 2 and _hexadecimal_near(codes, begin, i, stop, colons, kinds):
                    seen |= COLONS
            else:
                seen |= _sign_of(kind, codes, begin, i, stop, kinds)
    return seen


@njit(cache=True)
def _sign_of(kind: int, codes: Codes, begin: int, i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """What an at sign, another in its place, or a clue shows together with its neighbours."""
    previous = _kind_at(codes, i - 1, begin, stop, kinds)
    following = _kind_at(codes, i + 1, begin, stop, kinds)
    if kind == _AT:
        if codes[i] != 0x40 and codes[i] != 0xFF20 and codes[i] != 0xFE6B:
            return SPELT
        if previous != _SEPARATOR:
            return AT if following != _SEPARATOR else SPELT if _is_word(previous) else 0
        if _is_word(_kind_at(codes, i - 2, begin, stop, kinds)):
            return SPELT
        return SPELT if following == _SEPARATOR else 0  # a mention: @kim
    if kind == _SWAP:
        if i > begin and codes[i - 1] == 38:  # &#64;
            return SPELT if i + 2 < stop and codes[i + 1] == 54 and codes[i + 2] == 52 else 0
        place = i + 1
        while _is_word(_kind_at(codes, place, begin, stop, kinds)):
            place += 1
        is_domain = place > i + 1 and place < stop and codes[place] == _DOT
        return SWAPPED if is_domain and _is_word(previous) else 0
    code, earlier = codes[i], codes[i - 1] if i > begin else np.uint32(0)
    if code == _BAENG:
        return SPELT if earlier == _GOL else 0
    if code == _GWON:
        return PASSPORT if earlier == _YEO else 0
    if code == _DWIT:
        return HALVES
    after = codes[i + 1] if i + 1 < stop else np.uint32(0)
    return SPELT if following != _OTHER or after in (_COM, _NET) else 0


@njit(cache=True)
def _kind_at(codes: Codes, place: int, begin: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """The kind of a character; a separator beyond the ends of the line."""
    return int(kinds[codes[place]]) if begin <= place < stop else _SEPARATOR


@njit(cache=True)
def _is_letter(kind: int) -> bool:
    return kind in (_LETTER, _TEE, _LIKE, _STAR)


@njit(cache=True)
def _is_short(group: int, last: int, digits: Codes) -> bool:
    """`1588-1234`, `15881234`, `765-4321`, `900101-1`: what is short and no date, by the lengths of its last groups."""
    if group == 8 and last == 0:
        return bool(digits[0] & 15 == 1 and (digits[1] & 15 == 5 or digits[1] & 15 == 6 or digits[1] & 15 == 8))
    return (group == 4 and (last == 3 or last == 4)) or (group == 1 and last == 6)


@njit(cache=True)
def _is_word(kind: int) -> bool:
    return kind == _DIGIT or _is_letter(kind)


@njit(cache=True)
def _written_at(codes: Codes, begin: int, i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """SPELT where `(at)`, `(dot)` or ` dot ` ends here."""
    if i < begin + 3 or _kind_at(codes, i + 1, begin, stop, kinds) != _SEPARATOR:
        return 0
    if codes[i - 1] | 32 == 97:  # a
        return SPELT if _opens(codes[i - 2]) else 0
    is_dot = codes[i - 1] | 32 == 111 and codes[i - 2] | 32 == 100
    return SPELT if is_dot and (codes[i - 3] == _SPACE or _opens(codes[i - 3])) else 0


@njit(cache=True)
def _opens(code: int) -> bool:
    """One of ( < [ _ {, also full-width."""
    folded = code - 0xFEE0 if code > 0xFF00 else code
    return folded == 40 or folded == 60 or folded == 91 or folded == 95 or folded == 123


@njit(cache=True)
def _hexadecimal_near(codes: Codes, begin: int, i: int, stop: int, colons: int, kinds: NDArray[np.uint8]) -> bool:
    """`::` beside a hexadecimal digit, or a third colon; and a digit among the characters around."""
    if colons < 3 and codes[i - 1] != codes[i]:
        return False
    beside = False
    for place in (i - 2, i - 1, i + 1):
        lower = codes[place] | 32 if begin <= place < stop else 0
        beside |= 97 <= lower <= 102 or _kind_at(codes, place, begin, stop, kinds) == _DIGIT
    if not beside:
        return False
    for place in range(i - 5, i + 5):  # noqa: SIM110 (numba compiles no generator)
        if _kind_at(codes, place, begin, stop, kinds) == _DIGIT:
            return True
    return False


@njit(cache=True)
def _behind(codes: Codes, begin: int, i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """PLACE or PASSPORT, by what stands before the first digit of a group and how many follow it."""
    previous = _kind_at(codes, i - 1, begin, stop, kinds)
    if previous == _SEPARATOR and codes[i - 1] == 32:
        previous = _kind_at(codes, i - 2, begin, stop, kinds)
        return PLACE if previous == _PLACE else 0
    if previous == _PLACE:
        return PLACE
    if not _is_letter(previous) or _kind_at(codes, i + 2, begin, stop, kinds) != _DIGIT:
        return 0
    letters = 0
    while letters < 3 and _is_letter(_kind_at(codes, i - 1 - letters, begin, stop, kinds)):
        letters += 1
    end = i
    while end < i + 9 and _kind_at(codes, end, begin, stop, kinds) == _DIGIT:
        end += 1
    count = end - i
    if _kind_at(codes, i - 1 - letters, begin, stop, kinds) == _DIGIT:
        return 0
    if count == 3 and letters == 1:
        last = _kind_at(codes, end + 4, begin, stop, kinds)
        return PASSPORT if last == _DIGIT and _is_letter(_kind_at(codes, end, begin, stop, kinds)) else 0
    if _is_letter(_kind_at(codes, end, begin, stop, kinds)):
        return 0
    return PASSPORT if (count == 8 and letters == 1) or (count == 7 and letters == 2) else 0
