"""Costs from manifests, and estimates before a backfill."""

import pytest

from korean_llm_assets.costs import Spent, estimate, estimate_table, report, spent
from tests.korean_llm_assets.conftest import WHOLE, Platform, drop
from trainers.artifacts import ArtifactStore

HOUR = 3600.0
PAST = [
    Spent("sft_model", "qwen2.5-7b", "r1", 2 * HOUR, 8 * HOUR, 6 * HOUR, 2 * HOUR),
    Spent("sft_model", "qwen2.5-7b", "r2", 4 * HOUR, 16 * HOUR, 16 * HOUR, 0.0),
    Spent("corpus", "-", "r1", HOUR, 0.0, 0.0, 0.0),
]


def test_totals_by_model_and_release_with_goodput_and_money() -> None:
    lines = report(PAST, price=3.0).splitlines()
    assert "| qwen2.5-7b | r1 | 1 | 2.00 | 8.00 | 2.00 | 75.0% | 24.00 |" in lines
    assert "| qwen2.5-7b | r2 | 1 | 4.00 | 16.00 | 0.00 | 100.0% | 48.00 |" in lines
    assert "| - | r1 | 1 | 1.00 | 0.00 | 0.00 | no GPU | 0.00 |" in lines


def test_an_estimate_is_the_mean_of_past_runs_of_the_same_model() -> None:
    (row,) = estimate(["sft_model"], "qwen2.5-7b", PAST)
    assert (row.hours, row.gpu_hours, row.source) == (3.0, 12.0, "the mean of 2 past runs")
    told = estimate_table([row], releases=5, price=3.0)
    assert "in all 60.00 GPU-hours, 180.00 US dollars" in told


@pytest.mark.parametrize("model", ["qwen2.5-7b", "qwen2.5-72b"])
def test_without_past_runs_the_planner_is_asked(model: str) -> None:
    for row in estimate(["cpt_checkpoint", "sft_model", "rlhf_model"], model, []):
        assert row.source == "the planner's arithmetic"
        assert row.gpu_hours >= row.hours > 0


def test_what_nobody_can_know_is_said() -> None:
    (row,) = estimate(["eval_report"], "tiny", [])
    assert row.source.startswith("unknown")


@pytest.mark.slow
def test_what_was_spent_is_read_from_the_manifests(platform: Platform) -> None:
    drop(platform.home.landing, "r1", WHOLE)
    platform.instance.add_dynamic_partitions("release", ["r1"])
    assert platform.run("data", "r1").success
    rows = list(spent(ArtifactStore(platform.home.artifacts)))
    assert {(row.asset, row.release) for row in rows} == {
        (name, "r1") for name in ("corpus", "instructions", "preferences", "benchmarks")
    }
    assert all(row.seconds > 0 and row.asked == 0 for row in rows)
