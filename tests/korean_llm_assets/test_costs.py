"""Costs from manifests, and estimates before a backfill."""

from argparse import Namespace
from pathlib import Path

import pytest

from korean_llm_assets import costs
from korean_llm_assets.commands import costs as costs_command
from korean_llm_assets.compute.cluster.compute import KubernetesCompute
from korean_llm_assets.compute.overrides import Overrides
from korean_llm_assets.compute.profiles import Price, load_profile
from korean_llm_assets.costs import Cost, all_costs, cost_metadata, estimate, report
from korean_llm_assets.home import Home
from tests.korean_llm_assets.conftest import WHOLE, PlatformUnderTest, drop, ended
from trainers.contract import Attempt, DoesNotFit, GpuSeconds, Manifest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.planner import GPUS, Gpu

HOUR = 3600.0
PAST = [
    Cost("sft_model", "qwen2.5-7b", "r1", 2 * HOUR, 8 * HOUR, 6 * HOUR, 2 * HOUR),
    Cost("sft_model", "qwen2.5-7b", "r2", 4 * HOUR, 16 * HOUR, 16 * HOUR, 0.0),
    Cost("corpus", "-", "r1", HOUR, 0.0, 0.0, 0.0, core_seconds=8 * HOUR),
]


def test_totals_by_model_and_release_with_goodput_and_money() -> None:
    lines = report(PAST, Price(gpu=3.0, core=0.05)).splitlines()
    assert "| qwen2.5-7b | r1 | 1 | 2.00 | 8.00 | 2.00 | 0.00 | 75.0% | 24.00 |" in lines
    assert "| qwen2.5-7b | r2 | 1 | 4.00 | 16.00 | 0.00 | 0.00 | 100.0% | 48.00 |" in lines
    assert "| - | r1 | 1 | 1.00 | 0.00 | 0.00 | 0.00 | no GPU | 0.40 |" in lines
    assert lines[-1] == "| in all |  | 3 | 7.00 | 24.00 | 2.00 | 0.00 | 91.7% | 72.40 |"
    by_asset = report(PAST, Price(gpu=3.0), by=("asset",)).splitlines()
    assert "| sft_model | 2 | 6.00 | 24.00 | 2.00 | 0.00 | 91.7% | 72.00 |" in by_asset


def manifest(gpus: int) -> Manifest:
    """Two attempts; the second went on from what the first had saved after 75 of its 100 seconds."""
    return ended(
        Attempt(number=1, started=1000.0, ended=1100.0),
        Attempt(number=2, started=1200.0, ended=1500.0, resumed_from_time=1075.0),
        gpus=gpus,
        timings={"seconds": 400.0},
        gpu_seconds=GpuSeconds(asked=400.0 * gpus, used=375.0 * gpus, lost=25.0 * gpus),
    )


def test_each_materialization_says_its_money_and_goodput() -> None:
    price = load_profile("h100").price
    assert price.gpu == 3.0
    shown = {name: value.value for name, value in cost_metadata(manifest(gpus=8), price).items()}
    assert shown["US dollars"] == pytest.approx(400 * 8 / HOUR * 3.0, abs=1e-4)
    assert shown["GPU hours used"] + shown["GPU hours lost to restarts"] == pytest.approx(shown["GPU hours asked"])
    assert (shown["seconds lost to restarts"], shown["goodput"]) == (25.0, 0.9375)
    on_cores = {name: value.value for name, value in cost_metadata(manifest(gpus=0), Price(gpu=3.0, core=0.9)).items()}
    assert on_cores["US dollars"] == pytest.approx(400 * 4 / HOUR * 0.9)
    assert not any(name.startswith("GPU") for name in on_cores)


def test_work_that_never_became_an_artifact_was_paid_for_too(tmp_path: Path) -> None:
    store, request = ArtifactStore(tmp_path), manifest(gpus=8).request
    with store.workspace(request) as workspace:
        workspace.attempts = [
            Attempt(number=1, started=0.0, ended=HOUR, exit_code=81),
            Attempt(number=2, started=HOUR, ended=None),  # runs, or was killed just now
        ]
        workspace.went_on_from(3, 900.0)
    store.beside(request).request.write_text(request.model_dump_json())
    (row,) = all_costs(store)
    assert (row.allocated, row.used, row.lost, row.finished) == (8 * HOUR, 0.0, 0.0, False)
    assert "| tiny | r1 | 0 | 1.00 | 8.00 | 0.00 | 8.00 | 0.0% | 24.00 |" in report([row], Price(gpu=3.0)).splitlines()


def test_the_price_is_the_profiles_unless_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dear.yaml").write_text(
        "extends: h100\ngpu_pool: {type: h200, nodes: 1, cpu: 9, memory: 9Gi, per_node: 8, gpu_memory: 141Gi, "
        "price_per_hour: 7.5}\n"
    )
    monkeypatch.setenv("KOREAN_LLM_PROFILES", str(tmp_path))
    monkeypatch.setenv("KOREAN_LLM_PROFILE", "dear")
    assert KubernetesCompute(ArtifactStore(tmp_path), tmp_path, "dear").price(Overrides()).gpu == 7.5
    home = Home(tmp_path)
    for price, money in ((None, "15.00"), (1.0, "2.00")):
        with monkeypatch.context() as patch:
            patch.setattr(
                costs_command, "all_costs", lambda store: [Cost("sft_model", "m", "r1", HOUR, 2 * HOUR, 2 * HOUR, 0)]
            )
            costs_command.run(Namespace(price=price, json=False, lang="en"), home)
        assert f"| {money} |" in (tmp_path / "costs.md").read_text()


def test_totals_of_a_release_count_its_data_and_its_base_model(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = [Cost("base_model", "qwen2.5-7b", "-", HOUR, 0, 0, 0), Cost("sft_model", "tiny", "r1", HOUR, 0, 0, 0)]
    monkeypatch.setattr(costs, "all_costs", lambda store: [*PAST, *shared])
    shown = costs.totals_metadata(ArtifactStore("/nowhere"), "qwen2.5-7b", "r1", Price(gpu=3.0))
    release = shown["cost of this release"].value
    assert [line.split(" | ")[0] for line in release.splitlines()[2:]] == [
        *("| base_model", "| corpus", "| sft_model", "| in all"),
    ]
    assert "| r2 | 1 | 4.00 | 16.00 | 0.00 | 0.00 | 100.0% | 48.00 |" in shown["cost of this model"].value


def test_an_estimate_is_the_mean_of_past_runs_of_the_same_model() -> None:
    (row,) = estimate(["sft_model"], "qwen2.5-7b", PAST, None)
    assert (row.hours, row.gpu_hours, row.source) == (3.0, 12.0, "the mean of 2 past runs")
    *_, last = costs_command.estimate_lines([row], 5, 3.0, "en")
    assert last.split() == ["in", "all", "15.00", "60.00", "180.00"]


@pytest.mark.parametrize("model", ["qwen2.5-7b", "qwen2.5-72b"])
def test_without_past_runs_the_planner_is_asked(model: str) -> None:
    for row in estimate(["cpt_checkpoint", "sft_model", "rlhf_model"], model, [], GPUS["h100"]):
        assert row.source == "the planner's arithmetic"
        assert row.gpu_hours >= row.hours > 0


def test_what_cannot_run_where_it_would_is_refused_with_a_way_out() -> None:
    with pytest.raises(DoesNotFit, match=r"qwen2.5-7b on a10: cpt .* does not fit: .* This fits: "):
        estimate(["cpt_checkpoint"], "qwen2.5-7b", [], Gpu("a10", 24e9, 125e12))


def test_what_nobody_can_know_is_said() -> None:
    (row,) = estimate(["eval_report"], "tiny", [], GPUS["h100"])
    assert row.source.startswith("unknown")


@pytest.mark.slow
def test_what_was_spent_is_read_from_the_manifests(platform: PlatformUnderTest) -> None:
    drop(platform.home.landing, "r1", WHOLE)
    platform.instance.add_dynamic_partitions("release", ["r1"])
    assert platform.run("data", "r1").success
    rows = list(all_costs(ArtifactStore(platform.home.artifacts)))
    assert {(row.asset, row.release) for row in rows} == {
        (name, "r1") for name in ("corpus", "instructions", "preferences", "benchmarks")
    }
    assert all(row.seconds > 0 and row.allocated == 0 for row in rows)
