"""Housekeeping: superseded artifacts, leftovers of old attempts and finished Jobs are removed by policy; dry run first.

What is never removed: what a registry alias names (champion, previous, candidate, and what those replaced), the latest
materialization of every asset, the inputs of a request that has no artifact yet, and everything that those were made
from; the newest `keep` artifacts of each cell; what is younger than `days`; whatever belongs to a model or a release
that a run is queued for or works on; and what a process holds a lock on.
"""

import shutil
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
from trainers.contract.artifacts import MANIFEST, ArtifactStore
from trainers.contract.locks import is_held

DAYS, KEEP = 14.0, 2
JOB_NAME = "housekeeping"
_DAY = 86400
_ASIDE = ".removed-"
_BESIDE = (".request.json", ".request.launch", ".messages.jsonl", ".lock", ".approval.json")
_OPEN = [status for status in DagsterRunStatus if status.name not in ("SUCCESS", "FAILURE", "CANCELED")]


@dataclass(frozen=True)
class Doomed:
    """Something that the policy removes."""

    what: str
    size: int
    why: str
    remove: Callable[[], None]

    @property
    def words(self) -> str:
        """One line for people."""
        return f"{self.size / 2**20:10.1f} MiB  {self.what}  ({self.why})"


@dataclass(frozen=True)
class Cell:
    """The artifacts of one asset for one partition, and what lies beside them."""

    folder: Path
    manifests: dict[str, Manifest]
    unfinished: tuple[StageRequest, ...]

    @property
    def keys(self) -> set[str]:
        """The model and release that it is of."""
        requests = [*(manifest.request for manifest in self.manifests.values()), *self.unfinished]
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
        cells = list(self._cells())
        live = self._live(cells)
        busy = self._busy()
        found: list[Doomed] = []
        for cell in cells:
            if busy is None or cell.keys & busy:
                continue
            found += self._superseded(cell, live)
            found += self._leftovers(cell)
        return found

    def _cells(self) -> Iterator[Cell]:
        for stage in STAGES.values():
            depth = "/".join(["*"] * (stage.by_model + stage.by_release))
            for folder in sorted((self._store.root / stage.asset).glob(depth)):
                if not folder.is_dir():
                    continue
                made = {
                    path.parent.name: Manifest.model_validate_json(path.read_text(encoding="utf-8"))
                    for path in folder.glob(f"[!.]*/{MANIFEST}")
                }
                asked = [
                    StageRequest.model_validate_json(path.read_text(encoding="utf-8"))
                    for path in folder.glob("*.request.json")
                    if path.name.split(".")[0] not in made
                ]
                yield Cell(folder, made, tuple(asked))

    def _live(self, cells: list[Cell]) -> set[str]:
        """Paths below the artifact root that something names, and all that those were made from."""
        named = {version.artifact.path for version in self._registry.live()}
        named |= {artifact.path for artifact in self._materialized()}
        for cell in cells:
            named |= {item.path for request in cell.unfinished for item in request.inputs if item.root == "artifacts"}
        by_path = {m.request.relative_path: m for cell in cells for m in cell.manifests.values()}
        waiting, live = list(named), set(named)
        while waiting:
            manifest = by_path.get(waiting.pop())
            for item in manifest.request.inputs if manifest else ():
                if item.path not in live:
                    live.add(item.path)
                    waiting.append(item.path)
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

    def _superseded(self, cell: Cell, live: set[str]) -> Iterator[Doomed]:
        age = {name: (cell.folder / name / MANIFEST).stat().st_mtime for name in cell.manifests}
        newest = sorted(age, key=lambda name: age[name], reverse=True)
        for name in sorted(newest[self._keep :]):
            manifest = cell.manifests[name]
            path = manifest.request.relative_path
            if path not in live and age[name] < self._before:
                yield Doomed(path, manifest.size, "superseded", partial(_remove, cell.folder, name, name, _BESIDE))

    def _leftovers(self, cell: Cell) -> Iterator[Doomed]:
        """Checkpoints and state of attempts that nobody goes on with. Their request goes too, and frees its inputs."""
        for aside in sorted(cell.folder.glob(f"{_ASIDE}*")):  # a removal that was killed
            what = aside.relative_to(self._store.root).as_posix()
            yield Doomed(what, _size(aside), "half removed", partial(shutil.rmtree, aside))
        names = {path.name.removesuffix(".partial") for path in cell.folder.glob("*.partial")}
        for name in sorted(names | {request.digest for request in cell.unfinished}):
            left = cell.folder / f"{name}.partial"
            files = [path.stat() for path in [*cell.folder.glob(f"{name}.*"), *left.rglob("*")]]
            if max(stat.st_mtime for stat in files) >= self._before or is_held(cell.folder / f"{name}.lock"):
                continue
            made = name in cell.manifests
            why = "left behind by a finished stage" if made else "unfinished, and long untouched"
            what = left.relative_to(self._store.root).as_posix()
            yield Doomed(
                what, _size(left), why, partial(_remove, cell.folder, name, left.name, () if made else _BESIDE)
            )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _remove(cell: Path, name: str, folder: str, beside: tuple[str, ...]) -> None:
    """Out of sight with one rename first: a kill half-way leaves nothing that anyone mistakes for an artifact."""
    if is_held(cell / f"{name}.lock"):
        return  # somebody began with it since we looked
    if (cell / folder).exists():
        aside = cell / f"{_ASIDE}{folder}"
        (cell / folder).rename(aside)
        shutil.rmtree(aside)
    for suffix in beside:
        (cell / f"{name}{suffix}").unlink(missing_ok=True)


def tidy(found: list[Doomed], yes: bool, say: Callable[[str], Any]) -> int:
    """Tell what goes, and remove it where the answer is yes; returns the bytes."""
    for doomed in found:
        say(doomed.words)
        if yes:
            doomed.remove()
    size = sum(doomed.size for doomed in found)
    done = "removed" if yes else "would be removed; nothing was (--yes removes)"
    say(f"{len(found)} things, {size / 2**20:.1f} MiB: {done}")
    return size


def finished_jobs(instance: DagsterInstance, days: float) -> list[Doomed]:
    """Finished Jobs of the cluster, where there is one."""
    return [Doomed(words, 0, "finished", remove) for words, remove in cluster_jobs(instance, time.time() - days * _DAY)]


class Policy(Config):
    """What the job may remove."""

    yes: bool = Field(default=False, description="remove; otherwise only tell")
    days: float = Field(default=DAYS, description="nothing younger is touched")
    keep: int = Field(default=KEEP, description="artifacts kept of each cell at least")


@op(name="tidy")
def tidy_op(context: OpExecutionContext, config: Policy, platform: PlatformResource) -> None:
    """Tell what the policy removes, and remove it where the configuration says yes."""
    keeper = Housekeeping(platform.store, platform.registry, context.instance, config.days, config.keep)
    found = keeper.doomed() + finished_jobs(context.instance, config.days)
    size = tidy(found, config.yes, context.log.info)
    context.add_output_metadata({"things": len(found), "bytes": size, "removed": config.yes})


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
