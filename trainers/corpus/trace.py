"""`python -m trainers trace`: where a document lies in the data artifacts, its source and its licence."""

import json
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from trainers.contract import STAGES
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.takedown import names_of, strings
from trainers.corpus.holders import artifact_rows

_ORIGIN = ("id", "source", "licence", "url", "language")


def run_trace(options: Namespace) -> str:
    """JSON: a list with a row for each place of the document; empty where nothing holds it."""
    return json.dumps(list(places(ArtifactStore(options.artifacts), options.document)), ensure_ascii=False)


def places(store: ArtifactStore, name: str) -> Iterator[dict[str, Any]]:
    """Artifact and origin of each row that goes by this name.

    Args:
        name: any of a document's: its id, or the sha256 of a text in it.
    """
    for manifest in store.manifests():
        if STAGES[manifest.request.stage].by_model:
            continue
        path = manifest.request.relative_path
        for row in artifact_rows(store.root / path):
            if name in names_of(str(row.get("id", "")), *strings(row)):
                yield {"artifact": path, **{key: row[key] for key in _ORIGIN if row.get(key)}}
