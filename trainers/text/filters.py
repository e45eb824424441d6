"""Quality filters: one compiled pass measures every document, then each rule is a comparison of columns.

Rules and their starting thresholds follow FineWeb-2's Korean configuration (Penedo et al. 2025) and Gopher
(Rae et al. 2021, table A1); each threshold is a recipe key and each drop is counted under the rule's name. Both ask
for full stops at line ends, which Korean leaves out as often as not: here a Korean text is told from a list by its
particles and endings (tests/trainers/text/test_filters.py has the texts that the defaults come from).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trainers.contract.recipe.filters import RULES, FilterSettings
from trainers.text.characters import (
    DIGIT,
    LATIN,
    LETTER,
    MARK,
    NEWLINE,
    REPLACEMENT,
    SPACE,
    SYLLABLE,
    SYMBOL,
    WORD,
    Codes,
    Starts,
    Texts,
    classes,
)
from trainers.text.languages import ENGLISH_DOCUMENT, KOREAN_DOCUMENT
from trainers.text.sentence_rules import LAST_CODES


class Feature(IntEnum):
    """What is counted of each document; a column of the measured table."""

    CHARACTERS = 0
    LETTERS = auto()
    HANGUL = auto()
    HANJA = auto()  # in words that Hangul ends: 國民의, 定하고
    LATIN = auto()
    DIGITS = auto()
    SYMBOLS = auto()
    WORDS = auto()
    WORD_CHARACTERS = auto()
    LINES = auto()
    LINE_CHARACTERS = auto()
    DUPLICATE_LINE_CHARACTERS = auto()  # in a Korean text of lines with Hangul: code may repeat itself there
    BULLET_LINES = auto()
    ELLIPSIS_LINES = auto()
    ENDED_LINES = auto()
    REPLACEMENTS = auto()
    KOREAN_WORDS = auto()  # those that end in a Hangul syllable
    FUNCTIONAL_WORDS = auto()
    REPEATED_NGRAMS = auto()
    NGRAMS = auto()


_FEATURES = len(Feature)
_NGRAM = 8  # a power of two
_LINE_FEED, _DOT, _ELLIPSIS = 0x0A, 0x2E, 0x2026
_FIRST_IDEOGRAPH, _LAST_IDEOGRAPH = 0x3400, 0x9FFF
_FUNCTION, _BULLET, _END = 1, 2, 4
_ROLES_END = 0x20000  # no character beyond has one
_FUNCTIONAL = "은는이가을를의에도로와과고다요서며면지만죠까니"
"""Last syllables of Korean words that carry grammar; text without any of them is a list of keywords."""
_BULLETS = "-*•●◦▪■□◆◇▶▷·ㆍ○※"


class Measures:
    """Figures of a batch, one row per document."""

    def __init__(self, table: NDArray[np.int64]):
        self._table = table

    def count(self, name: str) -> NDArray[np.int64]:
        """A column, by the name of its feature in lower case."""
        return self._table[:, Feature[name.upper()]]

    def share(self, part: str, whole: str) -> NDArray[np.float64]:
        """part / whole, 0 where the whole is 0."""
        total = self.count(whole)
        share: NDArray[np.float64] = np.divide(self.count(part), total, out=np.zeros(len(total)), where=total > 0)
        return share

    def figure(self, feature: str) -> NDArray[np.float64]:
        """A feature as a rule names it: `letters`, `latin/letters`, or a sum of such."""
        terms = [term.strip().split("/") for term in feature.split("+")]
        columns = [self.share(*term) if len(term) == 2 else self.count(*term) for term in terms]
        return np.asarray(sum(columns))


def measure(texts: Texts) -> Measures:
    """Measure a batch of normalised documents."""
    return Measures(_measure(texts.codes, texts.starts, classes(), _roles()))


def languages(measures: Measures) -> list[str]:
    """ko, en or other, by the scripts of the letters."""
    english = measures.share("latin", "letters") >= ENGLISH_DOCUMENT
    return np.where(_is_korean(measures), "ko", np.where(english, "en", "other")).tolist()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Judgement:
    """One rule over a batch: the documents it is for, its figure of each, its limit, and which documents break it."""

    name: str
    applies: NDArray[np.bool_]
    values: NDArray[np.float64]
    limit: float
    broken: NDArray[np.bool_]


def judge(measures: Measures, settings: FilterSettings) -> list[Judgement]:
    """What every rule says of every document, in the order in which they are tried."""
    many_words = measures.count("words") >= settings.word_rules_from
    many_lines = measures.count("lines") >= settings.line_rules_from
    korean = _is_korean(measures)
    applies: dict[str, NDArray[np.bool_]] = {
        "all": np.ones_like(many_words),
        "lines": many_lines,
        "foreign lines": many_lines & ~korean,
        "words": many_words,
        "korean": (many_words | many_lines) & korean,
    }
    judgements = []
    for key, rule in RULES:
        values, limit = measures.figure(rule.feature), getattr(settings, key) if rule.least is None else rule.least
        outside = values < limit if rule.least is not None or key.startswith("min_") else values > limit
        judgements.append(Judgement(rule.name, applies[rule.on], values, limit, applies[rule.on] & outside))
    return judgements


def verdicts(judgements: Sequence[Judgement]) -> list[tuple[str, str] | None]:
    """Per document the first rule it breaks, as (reason, detail), or None where it may stay."""
    verdicts_: list[tuple[str, str] | None] = [None] * len(judgements[0].values)
    for judgement in reversed(judgements):
        for index in np.flatnonzero(judgement.broken).tolist():
            verdicts_[index] = (judgement.name, f"{judgement.values[index]:.4g}")
    return verdicts_


def _is_korean(measures: Measures) -> NDArray[np.bool_]:
    return np.asarray(measures.share("hangul", "letters") >= KOREAN_DOCUMENT)


@cache
def _roles() -> NDArray[np.uint8]:
    """What a character means at the end of a word, or at either end of a line, as bits.

    A line's end is seen by its last character alone: `서울 (수도)` counts as ended, `ends_sentence` knows better.
    """
    table = np.zeros(_ROLES_END, np.uint8)
    for bit, codes in ((_FUNCTION, map(ord, _FUNCTIONAL)), (_BULLET, map(ord, _BULLETS)), (_END, LAST_CODES)):
        table[[*codes]] |= bit
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
    figures = np.zeros((documents, _FEATURES), np.int64)
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
    leaving = np.uint64(1)  # what the word before an n-gram's first one is multiplied by until then: prime ** _NGRAM
    for _ in range(_NGRAM):
        leaving *= prime
    for document in range(documents):
        begin, end, stamp = starts[document], starts[document + 1], document + 1
        mask = 63
        while mask < end - begin:
            mask = 2 * mask + 1
        count = figures[document]
        count[Feature.CHARACTERS] = end - begin
        words = letters = hangul = latin = digits = functional = 0  # what nearly every character or word is counted in
        line_hash, word_hash, ngram = np.uint64(0), np.uint64(0), np.uint64(0)
        recent[:] = 0
        line_length = word_length = ideographs = dots = repeated = repeated_hangul = hangul_before = 0
        first = last = np.uint32(0)
        for i in range(begin, end + 1):
            code = codes[i] if i < end else np.uint32(_LINE_FEED)
            kind = classes_[code]
            if kind in WORD:
                if kind == DIGIT:
                    digits += 1
                elif kind != MARK:
                    letters += 1
                    if kind == LATIN:
                        latin += 1
                    elif kind != LETTER:
                        hangul += 1
                    elif _FIRST_IDEOGRAPH <= code <= _LAST_IDEOGRAPH:
                        ideographs += 1
                word_hash = (word_hash ^ np.uint64(code)) * prime
                word_length += 1
            else:
                count[Feature.SYMBOLS] += kind == SYMBOL
                count[Feature.REPLACEMENTS] += code == REPLACEMENT
                if word_length:
                    words += 1
                    count[Feature.WORD_CHARACTERS] += word_length
                    previous = codes[i - 1]
                    if classes_[previous] == SYLLABLE:
                        count[Feature.KOREAN_WORDS] += 1
                        count[Feature.HANJA] += ideographs
                    ideographs = 0
                    functional += bool(previous < _ROLES_END and roles[previous] & _FUNCTION)
                    word_hash ^= word_hash >> np.uint64(31)
                    ngram = ngram * prime + word_hash - recent[words & (_NGRAM - 1)] * leaving
                    recent[words & (_NGRAM - 1)] = word_hash
                    if words >= _NGRAM:
                        count[Feature.NGRAMS] += 1
                        count[Feature.REPEATED_NGRAMS] += _seen_before(table, stamps, mask, stamp, ngram)
                    word_hash, word_length = np.uint64(0), 0
            if kind == NEWLINE:
                if line_length:
                    count[Feature.LINES] += 1
                    count[Feature.BULLET_LINES] += bool(first < _ROLES_END and roles[first] & _BULLET)
                    count[Feature.ENDED_LINES] += bool(last < _ROLES_END and roles[last] & _END)
                    count[Feature.ELLIPSIS_LINES] += last == _ELLIPSIS or dots >= 3
                    count[Feature.LINE_CHARACTERS] += line_length
                    if _seen_before(table[size:], stamps[size:], mask, stamp, line_hash):
                        repeated += line_length
                        repeated_hangul += line_length if hangul > hangul_before else 0
                line_length, line_hash, dots, hangul_before = 0, np.uint64(0), 0, hangul
            elif kind != SPACE:
                if not line_length:
                    first = code
                line_length += 1
                line_hash = (line_hash ^ np.uint64(code)) * prime
                dots = dots + 1 if code == _DOT else 0
                last = code
        count[Feature.WORDS], count[Feature.FUNCTIONAL_WORDS] = words, functional
        count[Feature.LETTERS], count[Feature.HANGUL] = letters, hangul
        count[Feature.LATIN], count[Feature.DIGITS] = latin, digits
        korean = hangul >= KOREAN_DOCUMENT * max(1, letters)
        count[Feature.DUPLICATE_LINE_CHARACTERS] = repeated_hangul if korean else repeated
    return figures
