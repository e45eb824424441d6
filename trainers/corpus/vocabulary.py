"""The nouns of a release by soynlp, and which of them earlier releases did not have.

soynlp finds nouns by statistics alone, without a dictionary (its `LRNounExtractor_v2`), so new names are found too.
It takes some 50 ms a document, so a sample is read, and only where the recipe asks for it.
"""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from trainers.artifacts import read_shards

FILE = "vocabulary.json"
_CHARACTERS = 500
_MOST_NOUNS = 5000
_MOST_NEW = 50


def nouns(split: Path, documents: int) -> dict[str, int]:
    """Nouns and how often they occur, in the first documents of a split (which are in the order of a hash)."""
    from soynlp.noun import LRNounExtractor_v2  # takes seconds

    texts = [row["text"][:_CHARACTERS] for row in islice(read_shards(split), documents)]
    found = LRNounExtractor_v2(verbose=False).train_extract(texts)
    counts = sorted(((-score.frequency, noun) for noun, score in found.items() if len(noun) > 1))
    return {noun: -count for count, noun in counts[:_MOST_NOUNS]}


def drift(mine: dict[str, int], earlier: Sequence[dict[str, int]]) -> dict[str, Any]:
    """What is new against earlier releases: `new_words` by frequency, and their share of all noun occurrences."""
    known = {noun for vocabulary in earlier for noun in vocabulary}
    new = {noun: count for noun, count in mine.items() if noun not in known} if earlier else {}
    share = sum(new.values()) / max(1, sum(mine.values()))
    return {"nouns": len(mine), "new_words": dict(list(new.items())[:_MOST_NEW]), "new_word_share": round(share, 4)}


def read(folder: Path) -> dict[str, int] | None:
    """The vocabulary of an earlier corpus, or None where it was not asked for."""
    path = folder / FILE
    if not path.exists():
        return None
    vocabulary: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
    return vocabulary
