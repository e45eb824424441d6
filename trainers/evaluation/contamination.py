"""Evidence that benchmark items were trained on: the corpus' own search, repeated on what it finally kept.

The corpus stage removes what it finds in the suites of its release. Here every document that CPT read is searched for
the suites that this report uses; an older corpus, or one whose recipe turns the search off, is caught.
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from trainers.contract.recipe.data import DecontaminationSettings
from trainers.contract.shards import read_shards
from trainers.text.contamination import Suites

_BATCH = 512
_EXCERPT = 120


def contamination(suite_files: Iterable[Path], corpus: Path) -> list[dict[str, Any]]:
    """One row per item and document that share a piece: item, document, source, and the piece."""
    suites = Suites.read(DecontaminationSettings(), sorted(suite_files))
    evidence: dict[tuple[str, str], dict[str, Any]] = {}
    documents = read_shards(corpus / "train")
    while batch := list(islice(documents, _BATCH)):
        for hit in suites.find([row["text"] for row in batch]):
            row = batch[hit.document]
            piece = row["text"][hit.begin : hit.end][:_EXCERPT]
            overlap = {"item": hit.item, "document": row["id"], "source": row.get("source", ""), "piece": piece}
            evidence.setdefault((hit.item, row["id"]), overlap)
    return list(evidence.values())
