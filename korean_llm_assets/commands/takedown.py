"""Command `takedown`: exclude documents from every later build, and tell what was made from them already."""

from argparse import Namespace
from hashlib import sha256
from pathlib import Path
from typing import Any

from korean_llm_assets.home import Home
from korean_llm_assets.partitions.takedown_list import listed_ids, takedown_file, taken_down
from trainers.contract import BadRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.files import write_atomically
from trainers.contract.shards import read_shards


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("takedown", help="exclude documents from every later build; list what has them")
    parser.add_argument("--ids", type=Path, required=True, help="a file: one id or text sha256 per line")
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Add ids to the list; prints every corpus, model and deployment made from these documents."""
    if not options.ids.is_file():
        raise BadRequest(f"--ids {options.ids}: there is no such file; it holds one id or text sha256 per line")
    ids = set(listed_ids(options.ids))
    if not ids:
        raise BadRequest(f"--ids {options.ids} names no document; write one id or text sha256 per line")
    write_atomically(takedown_file(), "\n".join(sorted({*taken_down(), *ids})) + "\n")
    manifests = {manifest.request.relative_path: manifest for manifest in ArtifactStore(home.artifacts).manifests()}
    ids_by_corpus = {
        path: names
        for path, manifest in manifests.items()
        if manifest.request.stage == "corpus" and (names := _documents(home.artifacts / path, ids))
    }
    affected = set(ids_by_corpus)
    while more := {
        path
        for path, manifest in manifests.items()
        if path not in affected
        and {manifests[one].digest for one in affected}
        & {item.digest for item in manifest.request.inputs if not item.is_compared_with}
    }:
        affected |= more
    print(f"{len(ids)} ids are excluded from every later build ({takedown_file()})")
    for path in sorted(affected):
        note = f"  holds {', '.join(sorted(ids_by_corpus[path]))}" if path in ids_by_corpus else ""
        print(f"made from them: {path}{note}")
    missing = ids - set().union(*ids_by_corpus.values())
    if missing:
        print(f"in no corpus that is kept here: {', '.join(sorted(missing))}")
    return 0


def _documents(corpus: Path, ids: set[str]) -> set[str]:
    """Which of the wanted ids and text hashes a corpus holds."""
    matches: set[str] = set()
    for split in ("train", "validation"):
        for row in read_shards(corpus / split):
            matches |= {row["id"], sha256(row["text"].encode()).hexdigest()} & ids
    return matches
