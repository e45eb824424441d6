"""How much of a text says again what it said: shares of repeated word n-grams, and pieces that run on.

Documents (filters.py, over word 8-grams, compiled), rewards and the gate (word 4-grams) measure the same share.
"""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from trainers.text.characters import SYLLABLE, WORD, classes_of

GRAM = 4
LOOP = 0.3
"""A reply of which more than this is repetition goes in circles."""
_RUN = re.compile(r"(\S.{0,7}?)\1{5,}")
"""A piece of at most eight characters, six times in a row or more."""


def words(text: str) -> list[str]:
    """Runs of letters, digits and marks of a text in NFC; punctuation and symbols part words as spaces do."""
    inside = np.isin(classes_of(text), WORD)
    return "".join(char if kept else " " for char, kept in zip(text, inside, strict=True)).split()


def repeated_share(units: Sequence[str], size: int) -> float:
    """n-grams of `size` units that occurred before, over all of them; 0 where there is none."""
    grams = [tuple(units[at : at + size]) for at in range(len(units) - size + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def repetition(text: str) -> float:
    """Share of a reply that repeats: of its word 4-grams, or of its characters in a run, whichever is more.

    1 where a piece of two syllables or more runs on: nobody says that six times, decoding that is stuck does, and
    however long the text before. Laughter (ㅋㅋㅋㅋㅋㅋ), exclamations (아아아아아아), rulers, zeros and code
    (null, null, ...) count by share.
    """
    spaced = " ".join(unicodedata.normalize("NFC", text).split()) + " "
    runs = (_run_share(run[1], run[0], spaced) for run in _RUN.finditer(spaced))
    return max(repeated_share(words(spaced), GRAM), max(runs, default=0.0))


def loops(reply: str) -> bool:
    """True where a reply goes in circles."""
    return repetition(reply) > LOOP


def _run_share(piece: str, run: str, text: str) -> float:
    spoken = np.count_nonzero(classes_of(piece) == SYLLABLE)
    return 1.0 if spoken > 1 else (len(run) - len(piece)) / len(text)
