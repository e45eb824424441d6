"""The per-model switch: auto makes what is due, ask proposes it and waits for a person, off does nothing at all.

A proposal is what the conditions would make of a model that says `automation: ask`. It is shown by `status`, told once,
and made after `python -m korean_llm_assets start`. What a person agreed to is this recipe
on this data: either of them changed, the cell is proposed anew.
"""

import json
from collections.abc import Iterable

from dagster import AssetKey, DagsterInstance, MultiPartitionKey

from korean_llm_assets.alerts import Alert
from korean_llm_assets.partitions.keys import cell_key
from korean_llm_assets.partitions.pointers import latest
from korean_llm_assets.partitions.recipes import model_recipes
from trainers.contract import STAGES, sha256_of

_WAITING, _STARTED = "korean_llm/waiting", "korean_llm/started"
_BY_MODEL = tuple(stage.asset for stage in STAGES.values() if stage.by_model)
_BY_RELEASE = tuple(stage.asset for stage in STAGES.values() if not stage.by_model)


def may_make(instance: DagsterInstance, asset: str, partitions: Iterable[str]) -> set[str]:
    """Of the partitions that are due, those that automation may make now; the others of `ask` models are proposed."""
    allowed, proposed = set(), set()
    for partition in partitions:
        model, cells = _cells(instance, partition)
        switch = model_recipes()[model].automation
        if switch == "auto" or (switch == "ask" and any(_is_started(instance, cell) for cell in cells)):
            allowed.add(partition)
        elif switch == "ask":
            proposed |= {str(cell) for cell in cells}
    instance.daemon_cursor_storage.set_cursor_values({f"{_WAITING}/{asset}": json.dumps(sorted(proposed))})
    return allowed


def proposed_releases(instance: DagsterInstance) -> dict[str, list[str]]:
    """Model -> releases that wait for a person's word, as the conditions last saw it."""
    keys = {f"{_WAITING}/{asset}" for asset in _BY_MODEL}
    cell_texts = {
        text for value in instance.daemon_cursor_storage.get_cursor_values(keys).values() for text in json.loads(value)
    }
    by_model: dict[str, list[str]] = {}
    for text in sorted(cell_texts):
        cell = _cell(text)
        if not _is_started(instance, cell):
            by_model.setdefault(cell.keys_by_dimension["model"], []).append(cell.keys_by_dimension["release"])
    return by_model


def proposals(instance: DagsterInstance) -> list[Alert]:
    """A message for each cell that waits; the same recipe on the same data is told once."""
    alerts = []
    for model, names in proposed_releases(instance).items():
        for release in names:
            how = f"python -m korean_llm_assets start --model {model} --release {release}"
            alerts.append(
                Alert(
                    f"ask:{model}:{release}:{_identity(instance, cell_key(model, release))[:16]}",
                    "ask",
                    f"[승인 대기] {model} {release}. 시작: {how}",
                    f"[waiting for approval] {model} {release}. To start: {how}",
                )
            )
    return alerts


def agree(instance: DagsterInstance, model: str, release: str) -> MultiPartitionKey:
    """Remember that a person agreed to make a cell of an `ask` model, with this recipe on this data."""
    cell = cell_key(model, release)
    instance.daemon_cursor_storage.set_cursor_values({f"{_STARTED}/{cell}": _identity(instance, cell)})
    return cell


def _cells(instance: DagsterInstance, partition: str) -> tuple[str, list[MultiPartitionKey]]:
    """The model of a partition, and the cells that it is made for: itself, or all releases with data of a model."""
    if isinstance(partition, MultiPartitionKey):
        return partition.keys_by_dimension["model"], [partition]
    with_data = instance.get_materialized_partitions(AssetKey("corpus"))
    return partition, [cell_key(partition, release) for release in sorted(with_data)]


def _cell(text: str) -> MultiPartitionKey:
    model, _, release = text.partition("|")
    return cell_key(model, release)


def _is_started(instance: DagsterInstance, cell: MultiPartitionKey) -> bool:
    key = f"{_STARTED}/{cell}"
    agreed = instance.daemon_cursor_storage.get_cursor_values({key}).get(key)
    return agreed is not None and agreed == _identity(instance, cell)


def _identity(instance: DagsterInstance, cell: MultiPartitionKey) -> str:
    """Digest of what a person agrees to: the model's recipe, and the release's data."""
    model, release = (cell.keys_by_dimension[name] for name in ("model", "release"))
    pointers = {asset: latest(instance, AssetKey(asset), release) for asset in _BY_RELEASE}
    data = {asset: pointer.digest for asset, pointer in pointers.items() if pointer}
    return sha256_of({"recipe": model_recipes()[model].model_dump(mode="json"), "data": data})
