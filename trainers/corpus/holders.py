"""`python -m trainers takedown`: which artifacts of data hold a document, by any of its names, its copies included.

A name may be of the document as it came, which no artifact shows any more: so the landed rows that have it are taken
through what their stage did to texts, and what became of them is looked for.
"""

import json
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from trainers.benchmarks.items import item
from trainers.contract import STAGES, BadRequest, Manifest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.data import ConversationsSection, CorpusSection
from trainers.contract.shards import read_shards
from trainers.contract.takedown import TakeDown, names_of, strings
from trainers.conversations.columns import INSTRUCTION, PREFERENCE, SUITE, Columns, Values, values_of
from trainers.conversations.instructions import conversation
from trainers.conversations.preferences import preference
from trainers.conversations.rows import Row, landed_rows
from trainers.corpus.clean import Cleaner
from trainers.text.characters import Texts
from trainers.text.personal_data import mask
from trainers.text.read import Block, files_below, read_blocks
from trainers.text.records import Unusable, rows

_CONVERT: dict[str, tuple[Columns, Callable[[Values], Row]]] = {
    "instructions": (INSTRUCTION, conversation),
    "preferences": (PREFERENCE, preference),
    "benchmarks": (SUITE, lambda values: item(values)[1]),
}
"""Stage -> what the columns of its rows are called, and what makes a row of the set of them."""
_SHORT = len("assistant")
"""Nothing this short names a document: roles, and answers that thousands give."""


def holders(store: ArtifactStore, landing: Path | None, names: Iterable[str]) -> dict[str, list[str]]:
    """Path of each data artifact that holds documents of these names -> the names, as they were asked for."""
    takedown = TakeDown(names)
    held: dict[str, list[str]] = {}
    for manifest in store.manifests():
        if STAGES[manifest.request.stage].by_model:
            continue
        became = _became(manifest, landing, takedown)
        folder = store.root / manifest.request.relative_path
        matches = {name for row in artifact_rows(folder) for name in _matches(row, takedown, became)}
        if matches:
            held[manifest.request.relative_path] = sorted(matches)
    return held


def landed(landing: Path, names: Iterable[str]) -> dict[str, list[str]]:
    """Path of each landed file, below the landing root, that holds documents of these names -> the names."""
    takedown, held = TakeDown(names), dict[str, set[str]]()
    for name, row in _landed_rows(landing):
        if matches := takedown.names(*_raw(row)):
            held.setdefault(name, set()).update(matches)
    return {name: sorted(matches) for name, matches in held.items()}


def run_takedown(options: Namespace) -> str:
    """`python -m trainers takedown ...`; returns JSON: `artifacts` and `landed`, each path -> names."""
    if not options.ids.is_file():
        raise BadRequest(f"--ids {options.ids}: there is no such file; it holds one id or text sha256 per line")
    names = options.ids.read_text(encoding="utf-8").split()
    landing = options.landing if options.landing.is_dir() else None
    held = holders(ArtifactStore(options.artifacts), landing, names)
    return json.dumps({"artifacts": held, "landed": landed(landing, names) if landing else {}}, ensure_ascii=False)


def _matches(row: Row, takedown: TakeDown, became: dict[str, set[str]]) -> set[str]:
    identity, texts = str(row.get("id", "")), [*strings(row)]
    known = names_of(identity, *texts)
    return takedown.names(identity, *texts).union(*(became[name] for name in known & became.keys()))


def _became(manifest: Manifest, landing: Path | None, takedown: TakeDown) -> dict[str, set[str]]:
    """What the listed rows of an artifact's drop are called in it -> what they are called on the list."""
    folders = [item.path for item in manifest.request.inputs if item.root == "landing"]
    became: dict[str, set[str]] = {}
    for path in folders if landing else ():
        for _, row in _landed_rows(Path(str(landing)) / path):
            if matches := takedown.names(*_raw(row)):
                for name in _names_afterwards(manifest, row):
                    became.setdefault(name, set()).update(matches)
    return became


def _names_afterwards(manifest: Manifest, row: Row) -> set[str]:
    """The names of a landed row in the artifact of its stage; none where the stage does not take it."""
    stage = manifest.request.stage
    section = STAGES[stage].section.model_validate(manifest.request.section)
    if isinstance(section, CorpusSection):
        section = section.model_copy(update={"takedown": ()})
        cleaned = Cleaner(section, buckets=2).clean(Block(0, "landed", 1, [row], "rows"))
        return {name for line in cleaned.rows for name in _row_names(json.loads(line))}
    try:
        columns, convert = _CONVERT[stage]
        converted = convert(values_of(row, columns, dict(manifest.request.section.get("fields", {}))))
    except Unusable:
        return set()
    texts = [*strings(converted)]
    if isinstance(section, ConversationsSection) and section.mask_personal_data and texts:
        texts = mask(Texts.of(texts))[0].strings
    return names_of(str(row.get("id") or ""), *(text for text in texts if len(text) > _SHORT)) - {""}


def _row_names(row: Row) -> set[str]:
    return names_of(str(row["id"]), row["text"])


def _raw(row: Row) -> list[str]:
    return [str(row.get("id", "")), *strings(row)]


def _landed_rows(folder: Path) -> Iterator[tuple[str, Row]]:
    """File and value of every landed row that is an object, and of every text that is a file of its own."""
    for block in read_blocks(files_below(folder)):
        for _, _, value in rows(block):
            if isinstance(value, dict):
                yield block.file, value


def artifact_rows(artifact: Path) -> Iterator[dict[str, Any]]:
    """Every row of a data artifact, however it is packed."""
    for split in ("train", "validation"):
        if (artifact / split).is_dir():
            yield from read_shards(artifact / split)
    for path in sorted(artifact.glob("*.jsonl")):
        if path.stem != "exclusions":
            yield from (each.value for each in landed_rows(files_below(path)) if isinstance(each.value, dict))
