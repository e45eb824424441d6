"""Which language a text is in, by the share of its letters: Hangul for Korean, Latin for English.

Hangul counts however it is written: syllables, free letters (ㅋㅋ) and conjoining ones. The filters' compiled pass
(filters.py) counts the same classes of characters; a test holds both together.
"""

import unicodedata
from typing import Literal

import numpy as np

from trainers.text.characters import JAMO, LATIN, LETTER, OLD_JAMO, SYLLABLE, classes_of

Language = Literal["ko", "en"]

KOREAN_DOCUMENT = 0.2
"""From this share of Hangul on a document is Korean: it often quotes English and code, hardly ever the reverse."""
ENGLISH_DOCUMENT = 0.8
KEPT = 0.6
"""A Korean reply may name things in Latin letters; one that is mostly Latin is no Korean reply."""

_SCRIPTS = {"ko": (SYLLABLE, JAMO, OLD_JAMO), "en": (LATIN,)}
_LETTERS = (LATIN, SYLLABLE, JAMO, OLD_JAMO, LETTER)


def language_share(text: str, language: Language) -> float | None:
    """Share of the letters that belong to the language's script; None where there are no letters (123, :-)."""
    classes = classes_of(unicodedata.normalize("NFC", text))
    letters, wanted = (int(np.isin(classes, kinds).sum()) for kinds in (_LETTERS, _SCRIPTS[language]))
    return wanted / letters if letters else None


def drifts(reply: str, language: Language = "ko") -> bool:
    """True where a reply leaves the language of its question. One without letters leaves none: a number is any."""
    share = language_share(reply, language)
    return share is not None and share < KEPT
