"""Quality filters: one compiled pass measures every document, then each rule is a comparison of columns.

Rules and their starting thresholds follow FineWeb-2's Korean configuration (Penedo et al. 2025) and Gopher
(Rae et al. 2021, table A1); each threshold is a recipe key and each drop is counted under the rule's name.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trainers.corpus.characters import Codes, Starts, classes, to_codes
from trainers.recipe.data import FilterSettings

_FEATURES = (
    "characters",
    "letters",
    "hangul",
    "latin",
    "digits",
    "symbols",
    "words",
    "word_characters",
    "lines",
    "duplicate_lines",
    "bullet_lines",
    "ellipsis_lines",
    "ended_lines",
    "replacements",
    "functional_words",
    "repeated_ngrams",
    "ngrams",
)
_COLUMN = {name: number for number, name in enumerate(_FEATURES)}
_NGRAM = 8
_FUNCTIONAL = "은는이가을를의에도로와과고다요서며면지만죠까니"
"""Last syllables of Korean words that carry grammar; text without any of them is a list of keywords."""
_BULLETS = "-*•●◦▪■□◆◇▶▷·ㆍ○※"
_ENDS = ".!?。…\"'」』)]:;%~♥♡^"


class Measures:
    """Figures of a batch, one row per document."""

    def __init__(self, table: NDArray[np.int64]):
        self._table = table

    def __getattr__(self, name: str) -> NDArray[np.int64]:
        try:
            return self._table[:, _COLUMN[name]]
        except KeyError:
            raise AttributeError(name) from None

    def share(self, part: str, whole: str) -> NDArray[np.float64]:
        """part / whole, 0 where the whole is 0."""
        total = getattr(self, whole)
        share: NDArray[np.float64] = np.divide(getattr(self, part), total, out=np.zeros(len(total)), where=total > 0)
        return share


def measure(texts: Sequence[str]) -> Measures:
    """Measure a batch of normalised documents."""
    codes, starts = to_codes(texts)
    return Measures(_measure(codes, starts, classes(), *(_set_of(chars) for chars in (_FUNCTIONAL, _BULLETS, _ENDS))))


def languages(measures: Measures) -> list[str]:
    """ko, en or other, by the scripts of the letters; Korean text often quotes English, hardly ever the reverse."""
    korean = measures.share("hangul", "letters") >= 0.2
    english = measures.share("latin", "letters") >= 0.8
    return np.where(korean, "ko", np.where(english, "en", "other")).tolist()  # type: ignore[no-any-return]


def verdicts(measures: Measures, settings: FilterSettings) -> list[tuple[str, str] | None]:
    """Per document the first rule it breaks, as (reason, detail), or None where it may stay."""
    known = measures.share("hangul", "letters") + measures.share("latin", "letters")
    korean = measures.share("hangul", "letters") >= 0.2
    word_length = measures.share("word_characters", "words")
    many_lines = measures.lines >= settings.line_rules_from
    many_words = measures.words >= settings.word_rules_from
    rules = (
        ("too_short", measures.characters, measures.characters < settings.min_characters),
        ("too_long", measures.characters, measures.characters > settings.max_characters),
        ("no_letters", measures.letters, measures.letters == 0),
        ("language", known, known < settings.min_hangul_or_latin_share),
        *_high("replacement_characters", measures.share("replacements", "characters"), settings.max_replacement_share),
        *_high("symbols", measures.share("symbols", "characters"), settings.max_symbol_share),
        *_high("digits", measures.share("digits", "characters"), settings.max_digit_share),
        ("short_words", word_length, many_words & (word_length < settings.min_mean_word_length)),
        ("long_words", word_length, many_words & (word_length > settings.max_mean_word_length)),
        _when(
            many_lines, "duplicate_lines", measures.share("duplicate_lines", "lines"), settings.max_duplicate_line_share
        ),
        _when(
            many_words,
            "repeated_ngrams",
            measures.share("repeated_ngrams", "ngrams"),
            settings.max_repeated_ngram_share,
        ),
        _when(many_lines, "bullets", measures.share("bullet_lines", "lines"), settings.max_bullet_line_share),
        _when(many_lines, "ellipses", measures.share("ellipsis_lines", "lines"), settings.max_ellipsis_line_share),
        (
            "unfinished_lines",
            measures.share("ended_lines", "lines"),
            many_lines & (measures.share("ended_lines", "lines") < settings.min_ended_line_share),
        ),
        (
            "no_stop_words",
            measures.share("functional_words", "words"),
            korean & many_words & (measures.share("functional_words", "words") < settings.min_functional_word_share),
        ),
    )
    found: list[tuple[str, str] | None] = [None] * len(measures.characters)
    for reason, values, broken in reversed(rules):
        for index in np.flatnonzero(broken).tolist():
            found[index] = (reason, f"{values[index]:.4g}")
    return found


_Rule = tuple[str, NDArray[np.float64], NDArray[np.bool_]]


def _high(reason: str, share: NDArray[np.float64], limit: float) -> tuple[_Rule]:
    return ((reason, share, share > limit),)


def _when(applies: NDArray[np.bool_], reason: str, share: NDArray[np.float64], limit: float) -> _Rule:
    return (reason, share, applies & (share > limit))


def _set_of(characters: str) -> Codes:
    return np.array(sorted(map(ord, characters)), np.uint32)


@njit(cache=True)
def _in(values: Codes, code: np.uint32) -> bool:
    place = np.searchsorted(values, code)
    return bool(place < len(values) and values[place] == code)


@njit(cache=True)
def _seen_before(table: NDArray[np.uint64], stamps: NDArray[np.int64], stamp: int, key: np.uint64) -> bool:
    """Insert into an open-addressing set that `stamp` empties in no time; True where the key was there."""
    mask = len(table) - 1
    slot = (key ^ (key >> np.uint64(29))) & np.uint64(mask)
    while stamps[slot] == stamp:
        if table[slot] == key:
            return True
        slot = (slot + np.uint64(1)) & np.uint64(mask)
    table[slot] = key
    stamps[slot] = stamp
    return False


@njit(cache=True)
def _measure(
    codes: Codes, starts: Starts, classes_: NDArray[np.uint8], functional: Codes, bullets: Codes, ends: Codes
) -> NDArray[np.int64]:
    documents = len(starts) - 1
    figures = np.zeros((documents, 17), np.int64)
    longest = 0
    for document in range(documents):
        longest = max(longest, starts[document + 1] - starts[document])
    size = 1024
    while size < 2 * longest:
        size *= 2
    table = np.zeros(size, np.uint64)
    stamps = np.zeros(size, np.int64)
    recent = np.zeros(8, np.uint64)
    prime = np.uint64(0x9E3779B97F4A7C15)
    for document in range(documents):
        row = figures[document]
        begin, end = starts[document], starts[document + 1]
        row[0] = end - begin
        line_hash, word_hash = np.uint64(0), np.uint64(0)
        line_length, word_length, first, last = 0, 0, np.uint32(0), np.uint32(0)
        for i in range(begin, end + 1):
            code = codes[i] if i < end else np.uint32(10)
            kind = classes_[code]
            if kind == 4 or kind == 8:
                row[1] += 1
                row[3] += kind == 4
            elif 5 <= kind <= 7:
                row[1] += 1
                row[2] += 1
            elif kind == 3:
                row[4] += 1
            elif kind == 10:
                row[5] += 1
            row[13] += code == 0xFFFD
            in_word = 3 <= kind <= 8 or kind == 11
            if in_word:
                word_hash = (word_hash ^ np.uint64(code)) * prime
                word_length += 1
            elif word_length > 0:
                row[6] += 1
                row[7] += word_length
                row[14] += _in(functional, codes[i - 1])
                recent[row[6] % 8] = word_hash ^ (word_hash >> np.uint64(31))
                if row[6] >= 8:
                    ngram = np.uint64(0)
                    for back in range(8):
                        ngram = (ngram ^ recent[(row[6] - back) % 8]) * prime
                    row[16] += 1
                    row[15] += _seen_before(table, stamps, 2 * document + 1, ngram ^ (ngram >> np.uint64(33)))
                word_hash, word_length = np.uint64(0), 0
            if code == 10:
                if line_length > 0:
                    row[8] += 1
                    row[10] += _in(bullets, first)
                    row[11] += last == 0x2026
                    row[12] += _in(ends, last)
                line_length, line_hash = 0, np.uint64(0)
            elif kind != 1:
                line_length += 1
                if line_length == 1:
                    first = code
                last = (
                    code
                    if not (code == 46 and line_length > 2 and codes[i - 1] == 46 and codes[i - 2] == 46)
                    else np.uint32(0x2026)
                )
        # Lines in a second pass: both sets share one table, told apart by their stamp.
        for i in range(begin, end + 1):
            code = codes[i] if i < end else np.uint32(10)
            if code == 10:
                if line_length > 0:
                    row[9] += _seen_before(table, stamps, 2 * document + 2, line_hash ^ (line_hash >> np.uint64(33)))
                line_length, line_hash = 0, np.uint64(0)
            elif classes_[code] != 1:
                line_length += 1
                line_hash = (line_hash ^ np.uint64(code)) * prime
    return figures
