"""A compute is what its protocol says and no more: one of neither kind makes a release and a model."""

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from dagster import AssetKey, DagsterInstance

from korean_llm_assets.compute.overrides import Overrides
from korean_llm_assets.compute.profiles import Price
from korean_llm_assets.compute.protocol import Compute, Step
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.keys import cell_key
from tests.korean_llm_assets.conftest import WHOLE, PlatformUnderTest, define, drop
from tests.support import small_stages
from trainers.contract import Manifest, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.runner.stage import run_stage


@dataclass
class InThisProcess:
    """Runs small stages where it stands, at a price, and watches them."""

    home: Home
    launches: dict[str, Overrides] = field(default_factory=dict)

    def run(self, step: Step, request: StageRequest, launch: Overrides) -> Manifest:
        self.launches[request.stage] = launch
        step.log.info(f"{request.stage} runs in this process")
        hearing = signal.getsignal(signal.SIGTERM)
        try:
            with (
                patch("trainers.runner.stage._stage_function", lambda name: small_stages.run),
                patch.dict(os.environ, {"MLFLOW_TRACKING_URI": ""}),
            ):
                return run_stage(request, ArtifactStore(self.home.artifacts), self.home.landing)
        finally:
            signal.signal(signal.SIGTERM, hearing)

    def ask(self, words: Sequence[str]) -> Any:
        return {"artifacts": {}, "landed": {}}

    def price(self, launch: Overrides) -> Price:
        return Price(core=3600.0 * (launch.gpus or 1))

    def observed(self, manifest: Manifest, launch: Overrides) -> Mapping[str, Any]:
        return {"seen by": f"a test, with {launch.changes}"}


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


@pytest.fixture
def third(home: Home) -> InThisProcess:
    return InThisProcess(home)


def test_a_third_compute_makes_data_and_a_model(home: Home, third: InThisProcess) -> None:
    assert public(InThisProcess) == public(Compute), "it has what the protocol asks for, and nothing else"
    drop(home.landing, "r1", WHOLE)
    with DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("release", ["r1"])
        platform = PlatformUnderTest(home, instance, define(compute=third))
        tags = {"korean-llm/gpus": "2"}
        for job, partition in (("data", "r1"), ("base", "tiny")):
            assert platform.run(job, partition, tags=tags).success
        made = platform.definitions.resolve_job_def("training").execute_in_process(
            instance=instance,
            partition_key=cell_key("tiny", "r1"),
            asset_selection=[AssetKey(name) for name in ("cpt_checkpoint", "sft_model", "rlhf_model", "eval_report")],
            run_config={"ops": {"sft_model": {"config": {"gpus": 3, "memory": "2Gi"}}}},
        )
        assert made.success
        event = instance.get_latest_materialization_event(AssetKey("sft_model"))
    assert third.launches["corpus"].changes == third.launches["base_model"].changes == {"gpus": 2}
    assert third.launches["cpt"].changes == {}
    assert third.launches["sft"].changes == {"gpus": 3, "memory": "2Gi"}
    assert event is not None and event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    assert shown["seen by"].value == "a test, with {'gpus': 3, 'memory': '2Gi'}"
    seconds, dollars = shown["stage seconds"].value, shown["US dollars"].value
    assert isinstance(seconds, float) and isinstance(dollars, float)
    assert dollars > seconds > 0, "three dollars a core-second"
    assert Path(str(shown["artifact location"].value)).is_relative_to(home.artifacts)


def test_the_price_of_a_launch_is_asked_of_the_compute(third: InThisProcess) -> None:
    compute: Compute = third
    assert compute.price(Overrides(gpus=2)).core == 2 * compute.price(Overrides()).core
