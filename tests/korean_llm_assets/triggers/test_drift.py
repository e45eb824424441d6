"""The nightly look at the champions: what is asked for, what counts as worse, and that it is told."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance, ExecuteInProcessResult

from korean_llm_assets.partitions.pointers import ARTIFACT
from korean_llm_assets.serving.registry import Version
from korean_llm_assets.triggers.drift import drift_job, worse_suites
from korean_llm_assets.triggers.incidents import alert_of
from trainers.contract import (
    Artifact,
    EvaluationDetails,
    ExportDetails,
    Input,
    Interval,
    Manifest,
    StageRequest,
)
from trainers.contract.artifacts import ArtifactStore

LINE = ("base_model", "cpt_checkpoint", "sft_model", "rlhf_model")


def figures(bits: float, accuracy: float = 0.7) -> EvaluationDetails:
    suites = {
        "corpus/ko": {"rlhf": Interval(value=bits, low=bits - 0.1, high=bits + 0.1, n=100)},
        "facts": {"rlhf": Interval(value=accuracy, low=accuracy - 0.05, high=accuracy + 0.05, n=100)},
    }
    return EvaluationDetails(suites=suites, higher_is_better={"corpus/ko": False, "facts": True}, gate=[])


@dataclass
class World:
    """A champion of `tiny` made on r1, by hand; the compute evaluates with the figures it is given."""

    store: ArtifactStore
    instance: DagsterInstance
    now: EvaluationDetails = field(default_factory=lambda: figures(2.0))
    requests: list[StageRequest] = field(default_factory=list)

    def commit(self, request: StageRequest, details: EvaluationDetails | ExportDetails) -> Manifest:
        with self.store.workspace(request) as workspace:
            records = workspace.records(workspace.output)
            made = Manifest(request=request, request_digest=request.digest, files=records, metrics={}, details=details)
            workspace.commit(made)
        self.store.discard_partial(request)
        return made

    def run(self, step: object, request: StageRequest, launch: object) -> Manifest:
        """As a compute does."""
        self.requests.append(request)
        return self.commit(request, self.now)

    def version(self, name: str, alias: str) -> Version | None:
        """As the registry does: only `tiny` has a champion."""
        if name != "tiny":
            return None
        line = tuple(Input(name=each, digest=each, path=f"{each}/tiny/x") for each in LINE)
        data = tuple(Input(name=each, digest=f"{each} r1", path=f"{each}/r1/x") for each in ("benchmarks", "corpus"))
        shown = StageRequest(stage="evaluate", stage_version=1, model="tiny", release="r1", inputs=(*line, *data))
        report = self.store.find(shown) or self.commit(shown, figures(2.0))
        pointer = Input(name="eval_report", digest=report.digest, path=shown.relative_path)
        exported = shown.model_copy(update={"stage": "export", "inputs": (line[3], pointer)})
        details = ExportDetails(formats=[], parameters=1, tokenizer_hash="t", model_card="")
        made = self.store.find(exported) or self.commit(exported, details)
        return Version(name, "3", Input(name="champion", digest=made.digest, path=exported.relative_path), {})

    def release(self, name: str) -> None:
        self.instance.add_dynamic_partitions("release", [name])
        for stage in ("benchmarks", "corpus"):
            made = Artifact(
                stage=stage, release=name, request_digest="q", digest=f"{stage} {name}", path=f"{stage}/{name}/q"
            )
            event = AssetMaterialization(AssetKey(stage), partition=name, metadata={ARTIFACT: made.to_json()})
            self.instance.report_runless_asset_event(event)

    def night(self) -> ExecuteInProcessResult:
        return drift_job.execute_in_process(
            instance=self.instance,
            resources={"platform": SimpleNamespace(store=self.store, compute=self, registry=self)},
            raise_on_error=False,
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with DagsterInstance.ephemeral() as instance:
        yield World(ArtifactStore(tmp_path), instance)


def test_nothing_is_evaluated_until_there_is_fresher_text(world: World) -> None:
    assert world.night().success
    world.release("r1")
    assert world.night().success and not world.requests


def test_the_champions_own_line_is_judged_on_the_newest_release_once(world: World) -> None:
    for name in ("r1", "r2"):
        world.release(name)
    world.instance.add_dynamic_partitions("release", ["r3, still being made"])
    assert world.night().success and world.night().success
    (request,) = world.requests  # the second night reuses it
    assert (request.stage, request.model, request.release) == ("evaluate", "tiny", "r2")
    assert {item.name: item.digest for item in request.inputs} == {
        **{name: name for name in LINE},
        "benchmarks": "benchmarks r2",
        "corpus": "corpus r2",
    }
    (seen, *_) = world.instance.fetch_observations(AssetKey("deployed_model"), limit=5).records
    observation = seen.asset_observation
    assert observation is not None and observation.partition == "tiny|r1"
    assert observation.metadata["drift: worse suites"].value == 0
    assert observation.metadata["now corpus/ko"].value == 2.0


def test_a_significant_drop_fails_the_night_and_is_told(world: World) -> None:
    for name in ("r1", "r2"):
        world.release(name)
    world.now = figures(2.5, accuracy=0.68)
    night = world.night()
    assert not night.success
    run = world.instance.get_run_by_id(night.run_id)
    assert run is not None
    alert = alert_of(world.instance, run)
    assert alert is not None and alert.kind == "failure"
    assert "tiny: worse on release r2 than on r1: corpus/ko 2.5 [2.4, 2.6], was 2 [1.9, 2.1]" in alert.english


@pytest.mark.parametrize(
    ("now", "suites"),
    [
        (figures(2.0), 0),
        (figures(2.15), 0),  # the intervals meet
        (figures(2.25), 1),
        (figures(1.0, accuracy=0.5), 1),  # better text, worse answers
        (figures(1.0, accuracy=0.9), 0),
        (EvaluationDetails(suites={"new suite": {}}, gate=[]), 0),
    ],
)
def test_worse_is_what_lies_wholly_on_the_worse_side(now: EvaluationDetails, suites: int) -> None:
    assert len(worse_suites(figures(2.0), now)) == suites
