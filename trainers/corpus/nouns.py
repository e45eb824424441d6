"""The nouns of a release, which of them earlier releases did not have, and how far it drifted from the last one.

A sample is read, and only where the recipe asks for it: the taggers take some 3 to 10 ms a document.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log2
from pathlib import Path

from trainers.contract import NOUNS, NounStatistics
from trainers.text.taggers import nouns_of

_CHARACTERS = 500
_MOST_NOUNS = 5000
_MOST_NEW = 50


@dataclass(frozen=True)
class Vocabulary:
    """The most frequent nouns of a sample, by frequency, and who found them."""

    tagger: str
    nouns: Mapping[str, int]

    @classmethod
    def of(cls, texts: Sequence[str], tagger: str) -> "Vocabulary":
        """From the beginnings of texts."""
        occurrences = nouns_of(tagger, [text[:_CHARACTERS] for text in texts])
        counts = sorted((-count, noun) for noun, count in occurrences.items())
        return cls(tagger, {noun: -count for count, noun in counts[:_MOST_NOUNS]})

    @classmethod
    def read(cls, folder: Path) -> "Vocabulary | None":
        """That of a corpus, or None where it was not asked for."""
        path = folder / NOUNS
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def write(self, folder: Path) -> None:
        """Leave it in a corpus for the next release."""
        (folder / NOUNS).write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")


def drift(mine: Vocabulary, earlier: Mapping[str, Vocabulary]) -> NounStatistics:
    """What is new against earlier releases (by release, oldest first) that the same tagger has read."""
    before = {release: vocabulary for release, vocabulary in earlier.items() if vocabulary.tagger == mine.tagger}
    old = {noun for vocabulary in before.values() for noun in vocabulary.nouns}
    new = {noun: count for noun, count in mine.nouns.items() if noun not in old} if before else {}
    share = sum(new.values()) / max(1, sum(mine.nouns.values()))
    last = next(reversed(before), None)
    return NounStatistics(
        nouns=len(mine.nouns),
        new_words=dict(list(new.items())[:_MOST_NEW]),
        new_word_share=round(share, 4),
        drift={last: round(divergence(mine.nouns, before[last].nouns), 4)} if last else {},
    )


def divergence(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Jensen-Shannon divergence of two tables of counts, in bits (Lin 1991)."""
    totals = sum(one.values()), sum(other.values())
    if not all(totals):
        return float(any(totals))
    bits = 0.0
    for noun in sorted(one.keys() | other.keys()):
        shares = one.get(noun, 0) / totals[0], other.get(noun, 0) / totals[1]
        bits += sum(share * log2(2 * share / sum(shares)) for share in shares if share) / 2
    return bits
