"""What the report tells of the words, where the recipe asks for it: nouns and their drift, and tokens per word."""

import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from trainers.contract import BadRequest, NounStatistics
from trainers.contract.recipe.data import CorpusSection
from trainers.contract.shards import read_shards
from trainers.corpus.nouns import Vocabulary, drift

_FERTILITY_DOCUMENTS = 2000


def statistics(
    section: CorpusSection, output: Path, earlier: Mapping[str, Path]
) -> tuple[NounStatistics | None, dict[str, dict[str, float]]]:
    """Read samples of the training split (which is in the order of a hash); leaves `vocabulary.json` in `output`.

    Args:
        earlier: folders of the corpora of earlier releases, the oldest first.

    Returns:
        the nouns, None where they are not asked for; and tokens per word, by tokenizer.

    Raises:
        BadRequest: a tagger is not installed, or a tokenizer is not there.
    """
    nouns = None
    if section.noun_statistics:
        texts = [row["text"] for row in islice(read_shards(output / "train"), section.noun_statistics)]
        vocabulary = Vocabulary.of(texts, section.noun_tagger)
        vocabulary.write(output)
        vocabularies = {
            release: earlier_vocabulary
            for release, folder in earlier.items()
            if (earlier_vocabulary := Vocabulary.read(folder)) is not None
        }
        nouns = drift(vocabulary, vocabularies)
    return nouns, {name: _fertility(name, output / "train") for name in section.fertility_of}


def _fertility(name: str, split: Path) -> dict[str, float]:
    """Tokens per word of one tokenizer, by language and source."""
    from tokenizers import Tokenizer

    from trainers.text.fertility import fertility

    path = Path(name) / "tokenizer.json" if Path(name).is_dir() else Path(name)
    if not path.is_file():
        raise BadRequest(f"fertility_of: there is no tokenizer {path} where this stage runs; name another, or none")
    sample = islice(read_shards(split), _FERTILITY_DOCUMENTS)
    texts = [(f"{row['language']}, {source_group(row['source'])}", row["text"]) for row in sample]
    return fertility(texts, Tokenizer.from_file(str(path)))


def source_group(source: str) -> str:
    """What a source counts under: `owner/repo@commit:path` and URLs count under their repository or site."""
    if "://" in source:
        return source.split("://", 1)[1].split("/", 1)[0]
    return re.split("[@#]", source, maxsplit=1)[0]
