"""What was made, from what and by which recipe, and what was tried in vain: read from Dagster's event log, in bulk.

A few queries for each asset, whatever the number of partitions. Events never change, so that each is parsed once in
a process; nothing is written, and nothing depends on what an earlier tick saw.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from dagster import (
    AssetKey,
    AssetRecordsFilter,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    EventLogRecord,
    JsonMetadataValue,
    RunRecord,
    RunsFilter,
)

from korean_llm_assets.partitions.keys import cell_key, model_and_release, partition_of, releases
from korean_llm_assets.partitions.pointers import ARTIFACT
from korean_llm_assets.partitions.recipes import DATA, Recipes, recipes_now
from korean_llm_assets.partitions.requests import RECIPE, recipe_digest
from trainers.contract import STAGES, BadRequest, Stage, sha256_of
from trainers.contract.recipe.loading import Recipe

MADE_FROM = "made from"
"""Metadata of a materialization: asset -> the version of it that was read (`made_from`). Dagster's own tags of that
kind hold digests over partitions, which cannot be compared with a version."""
TRIED_TAG = "korean_llm/tried_"
"""Of a run, before an asset's name: what it set out to make that from (`identity`)."""
AGREED_KEY = "korean_llm/started/"
"""Before a cell, in Dagster's key-value storage: what a person agreed to make it from (`proposals.agree`)."""
_VERSION_TAG = "dagster/data_version"
_FAILED = (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
OPEN = tuple(status for status in DagsterRunStatus if status not in (DagsterRunStatus.SUCCESS, *_FAILED))
"""Of a run that has not ended."""
_AT_ONCE = 500
"""Events, runs or keys that one query asks for."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Made:
    """The latest materialization of a partition.

    Args:
        event: its number in the event log, which only grows.
        version: its content.
        inputs: asset -> version of what it was made from, the recipe among them (`made_from`); empty for what an
            earlier release of this code made, which nobody knows.
        at: Unix seconds.
        path: of the artifact, relative to the store.
    """

    event: int
    version: str
    inputs: Mapping[str, str]
    at: float
    path: str


@dataclass(frozen=True)
class Attempt:
    """The latest run that is to make a partition, or was and failed or was cancelled.

    Args:
        ended: when its run failed or was cancelled, Unix seconds; 0 while it works.
        identity: of what it set out to make; None where that step did not begin.
        run: its id.
        status: of the run.
    """

    ended: float
    identity: str | None
    run: str
    status: DagsterRunStatus


@dataclass(frozen=True)
class Ledger:
    """The state of every partition at one moment.

    Args:
        releases: partition keys in the order of their registration.
        made: asset -> partition -> what is there.
        failed: asset -> partition -> what was tried in vain since.
        at_work: asset -> partition -> the run that is to make it now.
        known_since: model -> the event of its first base model.
        agreed: cell of a model that says `automation: ask` -> what a person agreed to make it from.
        recipes: as the files are at that moment.
    """

    releases: tuple[str, ...]
    made: Mapping[str, Mapping[str, Made]]
    failed: Mapping[str, Mapping[str, Attempt]]
    at_work: Mapping[str, Mapping[str, Attempt]]
    known_since: Mapping[str, int]
    agreed: Mapping[str, str]
    recipes: Recipes

    @classmethod
    def of(cls, instance: DagsterInstance) -> "Ledger":
        """Read now."""
        assets = [stage.asset for stage in STAGES.values()]
        database = database_of(instance)
        made = {asset: _made(instance, database, AssetKey(asset)) for asset in assets}
        base = STAGES["base_model"].asset
        attempts = _attempts(instance, assets)
        names, recipes = tuple(instance.get_dynamic_partitions(releases.name or "")), recipes_now()
        return cls(
            releases=names,
            made=made,
            failed=_of_status(attempts, _FAILED),
            at_work=_of_status(attempts, OPEN),
            known_since=_first_events(instance, base, sorted(made[base])),
            agreed=_agreed(instance, recipes, names),
            recipes=recipes,
        )

    def version(self, stage: Stage, partition: str) -> str | None:
        """Content of what is there; None where nothing is."""
        made = self.made[stage.asset].get(partition)
        return made.version if made else None

    def sources(self, stage: Stage, partition: str) -> Iterator[tuple[Stage, str]]:
        """The partitions that one partition reads."""
        model, release = model_and_release(stage, partition)
        for name in stage.reads:
            source = STAGES[name]
            yield source, partition_of(source, model, release)

    @cached_property
    def newest_release(self) -> str | None:
        """The newest release whose data are all there."""
        data = [stage.asset for stage in STAGES.values() if not stage.by_model]
        complete = [name for name in self.releases if all(name in self.made[asset] for asset in data)]
        return complete[-1] if complete else None

    @cached_property
    def _digests(self) -> dict[tuple[str, str | None], str | BadRequest]:
        models: list[str] = list(self.recipes.models)
        return {
            (stage.name, model): _digest_or_problem(stage, recipe)
            for stage in STAGES.values()
            for model in (models if stage.by_model else [None])
            if (recipe := self.recipes.of(model)) is not None
        }

    @property
    def problems(self) -> dict[str, str]:
        """Recipe -> why it, or a plugin that it names, cannot be used."""
        missing = {model or DATA: str(of) for (_, model), of in self._digests.items() if isinstance(of, BadRequest)}
        return {**self.recipes.problems, **missing}

    def recipe(self, stage: Stage, partition: str) -> str | None:
        """Digest of what the recipe says now of a partition; None where it cannot be used."""
        digest = self._digests.get((stage.name, model_and_release(stage, partition)[0]))
        return digest if isinstance(digest, str) else None

    def inputs_now(self, stage: Stage, partition: str) -> dict[str, str]:
        """What a partition would be made from now, as `made_from` has it; what is missing is left out."""
        versions = {source.asset: self.version(source, key) for source, key in self.sources(stage, partition)}
        now = {**versions, RECIPE: self.recipe(stage, partition)}
        return {asset: version for asset, version in now.items() if version is not None}


def _digest_or_problem(stage: Stage, recipe: Recipe) -> str | BadRequest:
    try:
        return recipe_digest(stage, recipe)
    except BadRequest as error:
        return error


def identity(inputs: Mapping[str, str]) -> str:
    """Digest of what is made from these inputs (`made_from`)."""
    return sha256_of(dict(sorted(inputs.items())))


def database_of(instance: DagsterInstance) -> str:
    """Which database it is: by that this process keeps what it read of one."""
    # Its base class does not declare it; every storage in use has it.
    database: str = instance.run_storage.get_run_storage_id()  # type: ignore[attr-defined]
    return database


_PARSED: dict[tuple[str, str], dict[int, Made]] = {}
"""(database, asset) -> event -> what it says; only the latest of each partition is kept."""


def _made(instance: DagsterInstance, database: str, key: AssetKey) -> dict[str, Made]:
    storage = instance.event_log_storage
    latest = storage.get_latest_storage_id_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION)
    place = (database, key.to_user_string())
    known = _PARSED.get(place, {})
    parsed = {event: known[event] for event in latest.values() if event in known}
    for events in _batches([event for event in latest.values() if event not in known]):
        wanted = AssetRecordsFilter(asset_key=key, storage_ids=events)
        for record in instance.fetch_materializations(wanted, limit=_AT_ONCE).records:
            parsed[record.storage_id] = _parsed(record)
    _PARSED[place] = parsed
    return {partition: parsed[event] for partition, event in latest.items() if event in parsed}


def _parsed(record: EventLogRecord) -> Made:
    materialization = record.asset_materialization
    assert materialization is not None, "the filter asks for materializations only"
    tags, inputs = materialization.tags or {}, materialization.metadata.get(MADE_FROM)
    read = inputs.value if isinstance(inputs, JsonMetadataValue) and isinstance(inputs.value, dict) else {}
    pointer = materialization.metadata.get(ARTIFACT)
    artifact = pointer.value if isinstance(pointer, JsonMetadataValue) and isinstance(pointer.value, dict) else {}
    return Made(
        event=record.storage_id,
        version=tags.get(_VERSION_TAG, ""),
        inputs={name: str(version) for name, version in read.items()},
        at=record.timestamp,
        path=str(artifact.get("path", "")),
    )


def _first_events(instance: DagsterInstance, asset: str, partitions: Sequence[str]) -> dict[str, int]:
    """Partition -> the number of its first materialization."""
    firsts = {}
    for partition in partitions:
        wanted = AssetRecordsFilter(asset_key=AssetKey(asset), asset_partitions=[partition])
        firsts[partition] = instance.fetch_materializations(wanted, limit=1, ascending=True).records[0].storage_id
    return firsts


def _agreed(instance: DagsterInstance, recipes: Recipes, names: Sequence[str]) -> dict[str, str]:
    asking = [model for model, recipe in recipes.models.items() if recipe.automation == "ask"]
    values: dict[str, str] = {}
    for some in _batches([f"{AGREED_KEY}{cell_key(model, name)}" for model in asking for name in names]):
        values |= instance.daemon_cursor_storage.get_cursor_values(set(some))
    return {key.removeprefix(AGREED_KEY): value for key, value in values.items()}


def _attempts(instance: DagsterInstance, assets: list[str]) -> dict[str, dict[str, Attempt]]:
    """The latest attempt at each partition that did not make it, or has not yet."""
    storage = instance.event_log_storage
    unmade = {
        asset: storage.get_latest_asset_partition_materialization_attempts_without_materializations(AssetKey(asset))
        for asset in assets
    }
    ids = sorted({run_id for attempts in unmade.values() for run_id, _ in attempts.values()})
    records = {
        record.dagster_run.run_id: record
        for some in _batches(ids)
        for record in instance.get_run_records(RunsFilter(run_ids=list(some)))
    }
    return {
        asset: {
            partition: _attempt(records[run_id], asset)
            for partition, (run_id, _) in attempts.items()
            if run_id in records
        }
        for asset, attempts in unmade.items()
    }


def _attempt(record: RunRecord, asset: str) -> Attempt:
    run = record.dagster_run
    return Attempt(record.end_time or 0.0, run.tags.get(TRIED_TAG + asset), run.run_id, run.status)


def _of_status(
    attempts: Mapping[str, Mapping[str, Attempt]], statuses: Sequence[DagsterRunStatus]
) -> dict[str, dict[str, Attempt]]:
    return {
        asset: {partition: attempt for partition, attempt in of.items() if attempt.status in statuses}
        for asset, of in attempts.items()
    }


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
