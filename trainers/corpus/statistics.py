"""What the report tells of the words, where the recipe asks for it: nouns and their drift."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from trainers.artifacts import read_shards
from trainers.corpus.vocabulary import Vocabulary, drift
from trainers.recipe.data import CorpusSection


def statistics(section: CorpusSection, output: Path, earlier: Mapping[str, Path]) -> dict[str, Any]:
    """Read samples of the training split (which is in the order of a hash); leaves `vocabulary.json` in `output`.

    Args:
        earlier: folders of the corpora of earlier releases, the oldest first.

    Raises:
        BadRequest: a tagger is not installed.
    """
    found: dict[str, Any] = {}
    if section.noun_statistics:
        texts = [row["text"] for row in islice(read_shards(output / "train"), section.noun_statistics)]
        vocabulary = Vocabulary.of(texts, section.noun_tagger)
        vocabulary.write(output)
        known = {release: read for release, folder in earlier.items() if (read := Vocabulary.read(folder)) is not None}
        found |= drift(vocabulary, known)
    return found
