"""The per-model switch: auto makes what is due, ask proposes it and waits for a person, off does nothing at all.

A proposal is what would be due of a model that says `automation: ask`. It is shown by `status`, told once, and made
after `python -m korean_llm_assets start`. What a person agreed to is this recipe on this data: either of them changed,
the cell is proposed anew. An offer is what a changed recipe outdated of older releases: it is made by `remake` only.
"""

from collections.abc import Iterable, Iterator

from dagster import DagsterInstance, MultiPartitionKey, RunsFilter

from korean_llm_assets.alerts import Alert
from korean_llm_assets.assets.due import is_due, is_missing_backlog, is_outdated
from korean_llm_assets.assets.ledger import AGREED_KEY, OPEN, Ledger
from korean_llm_assets.partitions.keys import cell_key, model_and_release
from trainers.contract import STAGES, Stage, sha256_of

_BY_RELEASE = tuple(stage for stage in STAGES.values() if not stage.by_model)
_TRAINED = tuple(stage for stage in STAGES.values() if stage.by_model and stage.by_release and stage.name != "export")


def may_make(ledger: Ledger, stage: Stage, partitions: Iterable[str]) -> set[str]:
    """Of these partitions, those that are due and that automation may make now."""
    if not stage.by_model:
        return {partition for partition in partitions if is_due(ledger, stage, partition)}
    due: set[str] = set()
    for partition in partitions:
        model, release = model_and_release(stage, partition)
        recipe = ledger.recipes.models.get(str(model))
        if recipe is not None and recipe.automation == "auto" and is_due(ledger, stage, partition):
            due.add(partition)
        elif recipe is not None and recipe.automation == "ask" and is_due(ledger, stage, partition, only_newest=False):
            names = [release] if release else ledger.releases
            if any(_is_agreed(ledger, cell_key(recipe.model, name)) for name in names):
                due.add(partition)
    return due


def proposed_releases(ledger: Ledger) -> dict[str, list[str]]:
    """Model -> releases that wait for a person's word, oldest first."""
    proposed = {}
    complete = [name for name in ledger.releases if all(name in ledger.made[stage.asset] for stage in _BY_RELEASE)]
    for model, recipe in sorted(ledger.recipes.models.items()):
        if recipe.automation != "ask":
            continue
        cells = [cell_key(model, name) for name in complete]
        due = [cell for cell in cells if any(is_due(ledger, stage, cell) for stage in _TRAINED)]
        if waiting := [cell.keys_by_dimension["release"] for cell in due if not _is_agreed(ledger, cell)]:
            proposed[model] = waiting
    return proposed


def offered(ledger: Ledger, model: str) -> dict[str, list[str]]:
    """Release -> assets of a model that the recipe outdated, or that came before it, and that nobody makes unasked."""
    offers: dict[str, list[str]] = {}
    for release in ledger.releases:
        cell = cell_key(model, release)
        for stage in _TRAINED:
            outdated = is_outdated(ledger, stage, cell, only_newest=False) or is_missing_backlog(ledger, stage, cell)
            if outdated and not is_due(ledger, stage, cell):
                offers.setdefault(release, []).append(stage.asset)
    return offers


def proposals(instance: DagsterInstance, ledger: Ledger) -> Iterator[Alert]:
    """A message for each model that waits, however many releases it waits with; none while data are being made."""
    if instance.get_runs(RunsFilter(job_name="data", statuses=list(OPEN)), limit=1):
        return
    for model, names in proposed_releases(ledger).items():
        newest = names[-1]
        how = f"python -m korean_llm_assets start --model {model} --release {newest}"
        older = len(names) - 1
        yield Alert(
            f"ask:{model}:{newest}:{_identity(ledger, cell_key(model, newest))[:16]}",
            "ask",
            f"[승인 대기] {model} {newest}{f' 외 {older}건' if older else ''}. 시작: {how}",
            f"[waiting for approval] {model} {newest}{f' and {older} older' if older else ''}. To start: {how}",
        )


def agree(instance: DagsterInstance, model: str, release: str) -> MultiPartitionKey:
    """Remember that a person agreed to make a cell of an `ask` model, with this recipe on this data."""
    cell = cell_key(model, release)
    instance.daemon_cursor_storage.set_cursor_values({f"{AGREED_KEY}{cell}": _identity(Ledger.of(instance), cell)})
    return cell


def _is_agreed(ledger: Ledger, cell: MultiPartitionKey) -> bool:
    """Whether a person agreed to make it as it is now."""
    agreed = ledger.agreed.get(str(cell))
    return agreed is not None and agreed == _identity(ledger, cell)


def _identity(ledger: Ledger, cell: MultiPartitionKey) -> str:
    """Digest of what a person agrees to: the model's recipe, and the release's data."""
    model, release = cell.keys_by_dimension["model"], cell.keys_by_dimension["release"]
    versions = {stage.asset: ledger.version(stage, release) for stage in _BY_RELEASE}
    data = {asset: version for asset, version in versions.items() if version}
    return sha256_of({"recipe": ledger.recipes.models[model].model_dump(mode="json"), "data": data})
