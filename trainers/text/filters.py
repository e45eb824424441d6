"""Quality filters: one compiled pass measures every document, then each rule is a comparison of columns.

Rules and their starting thresholds follow FineWeb-2's Korean configuration (Penedo et al. 2025) and Gopher
(Rae et al. 2021, table A1); each threshold is a recipe key and each drop is counted under the rule's name.
"""

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trainers.contract.recipe.data import FilterSettings
from trainers.text.characters import Codes, Starts, Texts, classes

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
_NGRAM = 8  # a power of two
_FUNCTION, _BULLET, _END = 1, 2, 4
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


def measure(texts: Texts) -> Measures:
    """Measure a batch of normalised documents."""
    return Measures(_measure(texts.codes, texts.starts, classes(), _roles()))


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


@cache
def _roles() -> NDArray[np.uint8]:
    """What a character of the basic plane means at the end of a word, or at either end of a line, as bits."""
    table = np.zeros(0x10000, np.uint8)
    for bit, characters in ((_FUNCTION, _FUNCTIONAL), (_BULLET, _BULLETS), (_END, _ENDS)):
        table[[ord(character) for character in characters]] |= bit
    return table


@njit(cache=True)
def _seen_before(table: NDArray[np.uint64], stamps: NDArray[np.int64], mask: int, stamp: int, key: np.uint64) -> bool:
    """Insert into an open-addressing set that `stamp` empties in no time; True where the key was there."""
    key ^= key >> np.uint64(33)
    slot = key & np.uint64(mask)
    while stamps[slot] == stamp:
        if table[slot] == key:
            return True
        slot = (slot + np.uint64(1)) & np.uint64(mask)
    table[slot] = key
    stamps[slot] = stamp
    return False


@njit(cache=True)
def _measure(codes: Codes, starts: Starts, classes_: NDArray[np.uint8], roles: NDArray[np.uint8]) -> NDArray[np.int64]:
    documents = len(starts) - 1
    figures = np.zeros((documents, 17), np.int64)
    longest = 0
    for document in range(documents):
        longest = max(longest, starts[document + 1] - starts[document])
    size = 64
    while size < longest + 2:
        size *= 2
    # One half for word n-grams, one for lines; a document uses no more of each than its length asks for.
    table = np.zeros(2 * size, np.uint64)
    stamps = np.zeros(2 * size, np.int64)
    recent = np.zeros(_NGRAM, np.uint64)
    prime = np.uint64(0x9E3779B97F4A7C15)
    for document in range(documents):
        begin, end, stamp = starts[document], starts[document + 1], document + 1
        mask = 63
        while mask < end - begin:
            mask = 2 * mask + 1
        letters = hangul = latin = digits = symbols = words = word_characters = lines = duplicate_lines = 0
        bullet_lines = ellipsis_lines = ended_lines = replacements = functional = repeated = ngrams = 0
        line_hash, word_hash = np.uint64(0), np.uint64(0)
        line_length = word_length = dots = 0
        first = last = np.uint32(0)
        for i in range(begin, end + 1):
            code = codes[i] if i < end else np.uint32(10)
            kind = classes_[code]
            if 3 <= kind <= 8 or kind == 11:
                if kind == 3:
                    digits += 1
                elif kind != 11:
                    letters += 1
                    if kind == 4:
                        latin += 1
                    elif kind != 8:
                        hangul += 1
                word_hash = (word_hash ^ np.uint64(code)) * prime
                word_length += 1
            else:
                symbols += kind == 10
                replacements += code == 0xFFFD
                if word_length:
                    words += 1
                    word_characters += word_length
                    previous = codes[i - 1]
                    functional += bool(previous < 0x10000 and roles[previous] & _FUNCTION)
                    recent[words & (_NGRAM - 1)] = word_hash ^ (word_hash >> np.uint64(31))
                    if words >= _NGRAM:
                        ngram = np.uint64(0)
                        for back in range(_NGRAM):
                            ngram = (ngram ^ recent[(words - back) & (_NGRAM - 1)]) * prime
                        ngrams += 1
                        repeated += _seen_before(table, stamps, mask, stamp, ngram)
                    word_hash, word_length = np.uint64(0), 0
            if code == 10:
                if line_length:
                    lines += 1
                    bullet_lines += bool(first < 0x10000 and roles[first] & _BULLET)
                    ended_lines += bool(last < 0x10000 and roles[last] & _END)
                    ellipsis_lines += last == 0x2026 or dots >= 3
                    duplicate_lines += _seen_before(table[size:], stamps[size:], mask, stamp, line_hash)
                line_length, line_hash, dots = 0, np.uint64(0), 0
            elif kind != 1:
                if not line_length:
                    first = code
                line_length += 1
                line_hash = (line_hash ^ np.uint64(code)) * prime
                dots = dots + 1 if code == 46 else 0
                last = code
        figures[document] = (
            end - begin,
            letters,
            hangul,
            latin,
            digits,
            symbols,
            words,
            word_characters,
            lines,
            duplicate_lines,
            bullet_lines,
            ellipsis_lines,
            ended_lines,
            replacements,
            functional,
            repeated,
            ngrams,
        )
    return figures
