"""Operations as documented one-liners, on real runs."""

import json
import subprocess
import sys

import pytest

from tests.korean_llm_assets.served import Served, wait_until

pytestmark = pytest.mark.slow


def command(ui: Served, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "korean_llm_assets", *arguments],
        env={**ui.environment, "KOREAN_LLM_DAGSTER_URL": ui.dagster},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def run_id(ui: Served) -> str:
    tags = json.dumps({"dagster/partition": "door-operations", "door": "operations"})
    ui.command("dagster", "job", "launch", "-w", str(ui.home.workspace), "-j", "data", "--tags", tags)
    wait_until(lambda: ui.runs(door="operations"), 60)
    found: str = ui.runs(door="operations")[0]["runId"]
    return found


def test_wait_ends_with_the_run_or_with_its_timeout(ui: Served, run_id: str) -> None:
    code, told = command(ui, "wait", run_id, "--timeout", "0")
    assert (code == 124 and "still" in told) or code == 0
    code, told = command(ui, "wait", run_id, "--timeout", "280")
    assert code == 0, told


def test_status_lists_runs_and_the_steps_of_one(ui: Served, run_id: str) -> None:
    assert run_id in command(ui, "status")[1]
    told = command(ui, "status", run_id[:8])[1]
    assert "corpus" in told and "success" in told and "door-operations" in told


def test_logs_tell_what_the_stage_said(ui: Served, run_id: str) -> None:
    code, told = command(ui, "logs", run_id, "--follow")
    assert code == 0 and "kept" in told


def test_a_run_that_has_ended_cannot_be_cancelled(ui: Served, run_id: str) -> None:
    command(ui, "wait", run_id, "--timeout", "280")
    code, told = command(ui, "cancel", run_id)
    assert code == 1 and "has ended already" in told


def test_an_unknown_run_is_said(ui: Served) -> None:
    code, told = command(ui, "status", "nothing")
    assert code == 64 and "0 runs begin with 'nothing'" in told


def test_a_remake_shows_its_cost_and_starts_nothing_without_yes(ui: Served) -> None:
    code, told = command(ui, "remake", "--assets", "eval_report", "--models", "qwen2.5-7b", "--releases", "all")
    assert code == 0 and "in all 0.00 GPU-hours" in told and "nothing was started" in told
    code, told = command(ui, "remake", "--assets", "sft_model", "--releases", "door-operations")
    assert code == 0 and "the planner's arithmetic" in told
    code, told = command(ui, "remake", "--assets", "corpus")
    assert code == 64 and "is not made by model and release" in told
