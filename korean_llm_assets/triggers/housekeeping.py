"""Housekeeping: superseded artifacts, leftovers of old attempts and finished Jobs are removed by policy; dry run first.

What is never removed: what a registry alias names (champion, previous, candidate, and what those replaced), the latest
materialization of every asset, the inputs of a request that has no artifact yet, and everything that those were made
from; the newest `keep` artifacts of each cell; what is younger than `days`; whatever belongs to a model or a release
that a run is queued for or works on; and what a process holds a lock on.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dagster import (
    AssetKey,
    Config,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    OpExecutionContext,
    RunsFilter,
    ScheduleDefinition,
    job,
    op,
)
from pydantic import Field

from korean_llm_assets.partitions.pointers import latest
from korean_llm_assets.resources import PlatformResource, cluster_jobs
from korean_llm_assets.serving.registry import Registry
from trainers.contract import STAGES, Artifact, Manifest, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.layout import Cell, Place, remove
from trainers.contract.locks import locked

DAYS, KEEP = 14.0, 2
JOB_NAME = "housekeeping"
_DAY = 86400
_OPEN = [status for status in DagsterRunStatus if status.name not in ("SUCCESS", "FAILURE", "CANCELED")]


@dataclass(frozen=True)
class Doomed:
    """Something that the policy removes."""

    what: str
    size: int
    why: str
    remove: Callable[[], Any]

    @property
    def words(self) -> str:
        """One line for people."""
        return f"{self.size / 2**20:10.1f} MiB  {self.what}  ({self.why})"


@dataclass(frozen=True)
class Stock:
    """What lies in one cell: artifacts, and requests that have none yet."""

    cell: Cell
    manifests: dict[Place, Manifest]
    requests: dict[Place, StageRequest]

    @classmethod
    def of(cls, cell: Cell) -> "Stock":
        """Read from the disk."""
        manifests = {place: manifest for place in cell.places if (manifest := place.read_manifest()) is not None}
        others = [place for place in cell.places if place not in manifests]
        requests = {place: request for place in others if (request := place.read_request()) is not None}
        return cls(cell, manifests, requests)

    @property
    def keys(self) -> set[str]:
        """The model and release that it is of."""
        requests = [*(manifest.request for manifest in self.manifests.values()), *self.requests.values()]
        return {key for request in requests for key in (request.model, request.release) if key}


class Housekeeping:
    """What may go, at this moment.

    Args:
        days: nothing younger is touched.
        keep: how many artifacts of each cell are kept at least, the newest ones.
    """

    def __init__(
        self, store: ArtifactStore, registry: Registry, instance: DagsterInstance, days: float = DAYS, keep: int = KEEP
    ):
        self._store = store
        self._registry = registry
        self._instance = instance
        self._before = time.time() - days * _DAY
        self._keep = keep

    def doomed(self) -> list[Doomed]:
        """All that the policy removes, by place. Reads only."""
        stocks = [Stock.of(cell) for cell in self._store.cells()]
        live = self._live(stocks)
        busy = self._busy()
        doomed: list[Doomed] = []
        for stock in stocks:
            if busy is None or stock.keys & busy:
                continue
            doomed += self._superseded(stock, live)
            doomed += self._leftovers(stock)
        return doomed

    def _live(self, stocks: list[Stock]) -> set[str]:
        """Paths below the artifact root that something names, and all that those were made from."""
        paths = {version.artifact.path for version in self._registry.live()}
        paths |= {artifact.path for artifact in self._materialized()}
        requests = [request for stock in stocks for request in stock.requests.values()]
        paths |= {item.path for request in requests for item in request.inputs if item.root == "artifacts"}
        by_path = {m.request.relative_path: m for stock in stocks for m in stock.manifests.values()}
        queue, live = list(paths), set(paths)
        while queue:
            manifest = by_path.get(queue.pop())
            for item in manifest.request.inputs if manifest else ():
                if item.path not in live:
                    live.add(item.path)
                    queue.append(item.path)
        return live

    def _materialized(self) -> Iterator[Artifact]:
        """Dagster's pointers: the latest materialization of every partition."""
        for stage in STAGES.values():
            key = AssetKey(stage.asset)
            for partition in self._instance.get_materialized_partitions(key):
                if (pointer := latest(self._instance, key, partition)) is not None:
                    yield pointer

    def _busy(self) -> set[str] | None:
        """Models and releases of runs that have not ended; None where a run does not say which."""
        keys: set[str] = set()
        for run in self._instance.get_runs(RunsFilter(statuses=_OPEN)):
            if run.job_name == JOB_NAME:
                continue
            if "dagster/partition" not in run.tags:
                return None
            keys |= set(run.tags["dagster/partition"].split("|"))
        return keys

    def _superseded(self, stock: Stock, live: set[str]) -> Iterator[Doomed]:
        age = {place: place.manifest.stat().st_mtime for place in stock.manifests}
        newest = sorted(age, key=lambda place: age[place], reverse=True)
        for place in sorted(newest[self._keep :], key=lambda place: place.folder):
            manifest = stock.manifests[place]
            path = manifest.request.relative_path
            if path not in live and age[place] < self._before:
                yield Doomed(path, manifest.size, "superseded", partial(self._remove_if_still_superseded, stock, place))

    def _remove_if_still_superseded(self, stock: Stock, place: Place) -> bool:
        """Ask once more, and remove; False where it became live meanwhile. Whoever reuses it holds the same lock."""
        with locked(place.launch_lock):
            busy = self._busy()
            if busy is None or stock.keys & busy:
                return False
            now = [Stock.of(cell) for cell in self._store.cells()]
            if stock.manifests[place].request.relative_path in self._live(now):
                return False
            return place.remove_artifact()

    def _leftovers(self, stock: Stock) -> Iterator[Doomed]:
        """Checkpoints and state of attempts that nobody goes on with. Their request goes too, and frees its inputs."""
        for folder in stock.cell.half_removed:
            yield Doomed(self._name(folder), _size(folder), "half removed", partial(remove, folder))
        for place in stock.cell.places:
            is_finished = place in stock.manifests
            if is_finished and not place.partial.exists():
                continue
            if place.last_touched >= self._before or place.is_worked_on:
                continue
            why = "left behind by a finished stage" if is_finished else "unfinished, and long untouched"
            yield Doomed(self._name(place.partial), _size(place.partial), why, place.remove_work)

    def _name(self, folder: Path) -> str:
        return folder.relative_to(self._store.root).as_posix()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def tidy(things: list[Doomed], yes: bool, say: Callable[[str], Any]) -> int:
    """Tell what goes, and remove it where the answer is yes; returns the bytes."""
    for doomed in things:
        say(doomed.words)
        if yes and doomed.remove() is False:
            say(f"            kept after all, somebody uses it by now: {doomed.what}")
    size = sum(doomed.size for doomed in things)
    outcome = "removed" if yes else "would be removed; nothing was (--yes removes)"
    say(f"{len(things)} things, {size / 2**20:.1f} MiB: {outcome}")
    return size


def finished_jobs(instance: DagsterInstance, days: float) -> list[Doomed]:
    """Finished Jobs of the cluster, where there is one."""
    return [Doomed(words, 0, "finished", remove) for words, remove in cluster_jobs(instance, time.time() - days * _DAY)]


class HousekeepingPolicy(Config):
    """What the job may remove."""

    yes: bool = Field(default=False, description="remove; otherwise only tell")
    days: float = Field(default=DAYS, description="nothing younger is touched")
    keep: int = Field(default=KEEP, description="artifacts kept of each cell at least")


@op(name="tidy")
def tidy_op(context: OpExecutionContext, config: HousekeepingPolicy, platform: PlatformResource) -> None:
    """Tell what the policy removes, and remove it where the configuration says yes."""
    keeper = Housekeeping(platform.store, platform.registry, context.instance, config.days, config.keep)
    things = keeper.doomed() + finished_jobs(context.instance, config.days)
    size = tidy(things, config.yes, context.log.info)
    context.add_output_metadata({"things": len(things), "bytes": size, "removed": config.yes})


@job(name=JOB_NAME, description="What `clean` does. A dry run unless ops.tidy.config.yes is true.")
def housekeeping_job() -> None:
    """One step."""
    tidy_op()


housekeeping_schedule = ScheduleDefinition(
    name="housekeeping_nightly",
    job=housekeeping_job,
    cron_schedule="0 4 * * *",
    run_config={"ops": {"tidy": {"config": {"yes": True}}}},
    default_status=DefaultScheduleStatus.STOPPED,
    description="Removes by policy every night. Off until somebody has read a dry run and switches it on.",
)
