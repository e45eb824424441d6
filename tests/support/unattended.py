"""The platform left alone, without its processes: the daemon's ticks one by one, runs in this process, no training.

Sensors are asked as the daemon asks them: with the cursor as the text that it stored, and runs get their partition as
the text of a tag. Compute and registry are doubles; `tests/korean_llm_assets/commands/test_doors.py` and
`tests/joined/serving` know the real ones.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Definitions,
    Failure,
    SensorResult,
    build_sensor_context,
    in_process_executor,
    load_assets_from_modules,
)

from korean_llm_assets.assets import data, deployment, evaluation, training
from korean_llm_assets.assets.landing_assets import LANDING_ASSETS
from korean_llm_assets.assets.recipe_assets import RECIPE_ASSETS
from korean_llm_assets.compute.profiles import Price
from korean_llm_assets.landing.folders import KINDS, Landing
from korean_llm_assets.partitions.keys import partition_of, releases
from korean_llm_assets.partitions.recipes import recipes
from korean_llm_assets.resources import Platform, resources
from korean_llm_assets.serving.registry import CHAMPION, Promotion, Version
from korean_llm_assets.triggers.incidents import alerts
from korean_llm_assets.triggers.jobs import JOBS
from korean_llm_assets.triggers.sensors import SENSORS, automation_sensor, new_releases
from tests.support.small_stages import details
from trainers.contract import STAGES, Artifact, Attempt, EvaluationDetails, ExitCode, Input, Manifest, StageRequest
from trainers.contract.artifacts import ArtifactStore

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class ScriptedCompute:
    """Makes every stage's artifact at once, in this process.

    Args:
        failing: (asset, partition) of steps that fail.
        refusing: (asset, partition) of data that cannot be used.
        below: (model, release) whose report does not pass its gate.
        ran: every (asset, partition) that was made and not reused, in order.
    """

    store: ArtifactStore
    failing: set[tuple[str, str]] = field(default_factory=set)
    refusing: set[tuple[str, str]] = field(default_factory=set)
    below: set[tuple[str, str]] = field(default_factory=set)
    ran: list[tuple[str, str]] = field(default_factory=list)

    def run(self, step: Any, request: StageRequest, launch: Any) -> Manifest:
        """The artifact of a request, or the failure that the script says."""
        place = (request.asset, partition_of(STAGES[request.stage], request.model, request.release))
        for places, code in ((self.failing, ExitCode.INTERNAL), (self.refusing, ExitCode.BAD_DATA)):
            if place in places:
                raise Failure("the script says so", metadata={"exit code": int(code)}, allow_retries=False)
        self.ran.append(place)
        now = time.time()
        with self.store.workspace(request) as workspace:
            (workspace.output / "result.json").write_text(request.digest)
            manifest = Manifest(
                request=request,
                request_digest=request.digest,
                files=workspace.records(workspace.output),
                metrics={},
                details=self._details(request),
                attempts=[Attempt(number=1, started=now, ended=now)],
                timings={"seconds": 1.0},
            )
            workspace.commit(manifest)
        return manifest

    def _details(self, request: StageRequest) -> Any:
        made = details(SimpleNamespace(request=request))
        if isinstance(made, EvaluationDetails):
            passed = (request.model, request.release) not in self.below
            gate = [row.model_copy(update={"passed": passed}) for row in made.gate]
            return made.model_copy(update={"gate": gate})
        return made

    def price(self, launch: Any) -> Price:
        """A round one."""
        return Price(gpu=1.0)

    def observed(self, manifest: Manifest, launch: Any) -> Mapping[str, Any]:
        """Nobody watches."""
        return {}


@dataclass
class ListedRegistry:
    """A registry that is a list: registered name -> versions; the last one is the champion."""

    versions: dict[str, list[Version]] = field(default_factory=dict)

    def champion(self, name: str, other_than: Artifact) -> Input | None:
        """As the real one: of a champion that was made from the challenger, the one before it."""
        for version in reversed(self.versions.get(name, [])):
            if version.tags["rlhf_model"] != other_than.digest:
                return version.artifact
        return None

    def version(self, name: str, alias: str) -> Version | None:
        """The champion."""
        there = self.versions.get(name)
        return there[-1] if there and alias == CHAMPION else None

    def promote(
        self, name: str, exported: Manifest, report: Manifest, store: Any, tags: Mapping[str, str]
    ) -> Promotion:
        """The new champion; the same content again keeps its version."""
        artifact = Artifact.of(exported)
        there = self.versions.setdefault(name, [])
        there[:] = [version for version in there if version.artifact.digest != artifact.digest]
        subject = report.request.input("rlhf_model").digest
        all_tags = {**tags, "release": str(artifact.release), "rlhf_model": subject}
        pointer = Input(name=CHAMPION, digest=artifact.digest, path=artifact.path)
        there.append(Version(name, artifact.digest[:8], pointer, all_tags))
        return Promotion(name, there[-1].number, None, None)

    def note(self, name: str, *event: Any) -> None:
        """What happened, which nobody asks this one for."""


@dataclass
class Unattended:
    """One state, its daemon, and what happened."""

    instance: DagsterInstance
    landing: Landing
    compute: ScriptedCompute
    registry: ListedRegistry
    definitions: Definitions
    cursor: str | None = None
    landing_cursor: str | None = None
    alert_cursor: str | None = None

    def tick(self) -> dict[str, frozenset[str]]:
        """One tick of the conditions: partition -> the assets that are asked for."""
        context = build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=self.definitions)
        answer = automation_sensor.evaluate_tick(context)
        self.cursor = answer.cursor
        requests: dict[str, set[str]] = {}
        for request in answer.run_requests or ():
            if request.asset_graph_subset is None:
                assets = {key.to_user_string() for key in request.asset_selection or ()}
                requests.setdefault(str(request.partition_key), set()).update(assets)
                continue
            for place in request.asset_graph_subset.iterate_asset_partitions():
                requests.setdefault(str(place.partition_key), set()).add(place.asset_key.to_user_string())
        return {partition: frozenset(assets) for partition, assets in sorted(requests.items())}

    def make(self, partition: str, assets: Iterable[str]) -> bool:
        """A run of these assets of a partition, as a new process; whether it succeeded."""
        recipes.cache_clear()
        result = self._job.execute_in_process(
            instance=self.instance,
            asset_selection=[AssetKey(asset) for asset in assets],
            tags={"dagster/partition": partition},
            run_config=_QUIET,
            raise_on_error=False,
        )
        return result.success

    def settle(self, ticks: int = 10) -> list[dict[str, frozenset[str]]]:
        """Tick and run what is asked for, until nothing is; what each tick asked for."""
        history = []
        for _ in range(ticks):
            if not (requests := self.tick()):
                return history
            history.append(requests)
            for partition, assets in requests.items():
                self.make(partition, assets)
        raise AssertionError(f"it never comes to rest: {history}")

    def drop(self, release: str, text: str = "글", kinds: Iterable[str] = KINDS) -> bool:
        """A drop, and the run of its data that the sensor of drops starts."""
        for kind in kinds:
            folder = self.landing.root / release / kind
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "a.jsonl").write_text(text, encoding="utf-8")
        self.instance.add_dynamic_partitions(releases.name or "", [release])
        return self.make(release, KINDS)

    def look_at_landing(self) -> list[str]:
        """One tick of the sensor of drops, and the runs that it starts; their releases."""
        context = build_sensor_context(
            instance=self.instance,
            cursor=self.landing_cursor,
            definitions=self.definitions,
            resources=self.definitions.resources,
        )
        answer = new_releases(context)
        assert isinstance(answer, SensorResult)
        self.landing_cursor = answer.cursor
        for request in answer.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        started = []
        for request in answer.run_requests or ():
            recipes.cache_clear()
            self.definitions.resolve_job_def("data").execute_in_process(
                instance=self.instance,
                tags={**request.tags, "dagster/partition": str(request.partition_key)},
                run_config=_QUIET,
                raise_on_error=False,
            )
            started.append(str(request.partition_key))
        return started

    def tell(self) -> None:
        """One tick of the alerts."""
        context = build_sensor_context(instance=self.instance, cursor=self.alert_cursor)
        alerts(context)
        self.alert_cursor = context.cursor

    def wait(self, partition: str, assets: Iterable[str]) -> DagsterRun:
        """A run of these assets that waits in line."""
        job = self._job.get_subset(asset_selection={AssetKey(asset) for asset in assets})
        return self.instance.create_run_for_job(
            job,
            tags={"dagster/partition": partition},
            status=DagsterRunStatus.STARTING,
            asset_selection=job.asset_selection,
        )

    def cancel(self, run: DagsterRun) -> None:
        """A person cancels it."""
        self.instance.report_run_canceled(run)

    @property
    def _job(self) -> Any:
        return self.definitions.resolve_implicit_global_asset_job_def()


@contextmanager
def unattended(root: Path) -> Iterator[Unattended]:
    """A platform on an empty folder."""
    store, landing = ArtifactStore(root / "artifacts"), Landing(root / "landing")
    landing.root.mkdir(parents=True)
    compute, registry = ScriptedCompute(store), ListedRegistry()
    recipes.cache_clear()
    definitions = Definitions(
        assets=[*load_assets_from_modules([data, training, evaluation, deployment]), *RECIPE_ASSETS, *LANDING_ASSETS],
        jobs=JOBS,
        sensors=SENSORS,
        resources=resources(Platform(store, landing, compute, registry)),  # type: ignore[arg-type]
        executor=in_process_executor,
    )
    with DagsterInstance.ephemeral() as instance:
        yield Unattended(instance, landing, compute, registry, definitions)
    recipes.cache_clear()
