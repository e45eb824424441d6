"""Operations as documented one-liners, on real runs."""

import json
import subprocess
import sys

import pytest

from korean_llm_assets.compute.pool import LocalPool
from tests.support.served import Served, wait_until
from trainers.contract import Needs, StageRequest

pytestmark = pytest.mark.slow


def command(ui: Served, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "korean_llm_assets", *arguments],
        env=ui.environment,  # which names no address: a command asks its own state where its UI is
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
    run_id: str = ui.runs(door="operations")[0]["runId"]
    return run_id


def test_wait_ends_with_the_run_or_with_its_timeout(ui: Served, run_id: str) -> None:
    code, output = command(ui, "wait", run_id, "--timeout", "0")
    assert (code == 124 and "still" in output) or code == 0
    code, output = command(ui, "wait", run_id, "--timeout", "280")
    assert code == 0, output


def test_status_lists_runs_and_the_steps_of_one(ui: Served, run_id: str) -> None:
    assert run_id in command(ui, "status")[1]
    output = command(ui, "status", run_id[:8])[1]
    assert "corpus" in output and "success" in output and "door-operations" in output


def test_logs_tell_what_the_stage_said(ui: Served, run_id: str) -> None:
    code, output = command(ui, "logs", run_id, "--follow")
    assert code == 0 and "kept" in output


def test_a_working_run_is_followed_waited_for_and_cancelled(ui: Served) -> None:
    """It works for as long as we like: this test holds every core of the pool that its stage waits for."""
    pool = LocalPool.of_this_machine(ui.home.root / "pool")
    everything = StageRequest(stage="base_model", stage_version=1, model="test", needs=Needs(cpu=pool.cores))
    with pool.hold(everything, True, print):
        tags_again = json.dumps({"dagster/partition": "door-ui"})
        tags = json.dumps({"dagster/partition": "door-ui", "door": "cancelled"})
        ui.command("dagster", "job", "launch", "-w", str(ui.home.workspace), "-j", "data", "--tags", tags)
        wait_until(lambda: ui.runs(door="cancelled"), 60)
        (run,) = ui.runs(door="cancelled")
        followed = subprocess.Popen(
            [sys.executable, "-m", "korean_llm_assets", "logs", run["runId"], "--follow"],
            env=ui.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: _waits(ui, run["runId"]), 120)
        assert command(ui, "wait", run["runId"], "--timeout", "0")[0] == 124
        code, output = command(ui, "cancel", run["runId"])
        assert code == 0 and "cancelling" in output
        again = output.split("canceled; to go on from what is saved: ")[1].strip()
        assert again == f"dagster job launch -w {ui.home.workspace} -j data --tags '{tags_again}'"
        assert command(ui, "wait", run["runId"], "--timeout", "100")[0] == 1
    assert "CANCELED" in command(ui, "status", run["runId"])[1]
    log, _ = followed.communicate(timeout=60)
    assert followed.returncode == 0
    assert "waits for" in log and "in use by test" in log


def _waits(ui: Served, run_id: str) -> bool:
    return "in use by test" in command(ui, "logs", run_id)[1]


def test_a_run_that_has_ended_cannot_be_cancelled(ui: Served, run_id: str) -> None:
    command(ui, "wait", run_id, "--timeout", "280")
    code, output = command(ui, "cancel", run_id)
    assert code == 1 and "has ended already" in output


def test_an_unknown_run_is_said(ui: Served) -> None:
    code, output = command(ui, "status", "nothing")
    assert code == 64 and "0 runs begin with 'nothing'" in output


def test_a_remake_shows_its_cost_and_starts_nothing_without_yes(ui: Served) -> None:
    code, output = command(ui, "remake", "--assets", "eval_report", "--models", "qwen2.5-7b", "--releases", "all")
    assert (
        code == 0
        and output.splitlines()[-2].split() == ["in", "all", "0.00", "0.00", "0.00"]
        and "nothing was started" in output
    )
    code, output = command(ui, "remake", "--assets", "sft_model", "--releases", "door-operations")
    assert code == 0 and "the planner's arithmetic" in output
    code, output = command(ui, "remake", "--assets", "corpus")
    assert code == 64 and "is not made by model and release" in output


@pytest.mark.parametrize(
    ("arguments", "partitions"),
    [
        # re-evaluate all releases of one model
        (("--assets", "eval_report", "--models", "qwen2.5-7b", "--releases", "all"), None),
        # re-run SFT for both models on one release
        (("--assets", "sft_model", "--models", "qwen2.5-7b,qwen2.5-72b", "--releases", "door-operations"), 2),
    ],
)
def test_a_remake_starts_with_yes(ui: Served, arguments: tuple[str, ...], partitions: int | None) -> None:
    code, output = command(ui, "remake", *arguments, "--yes")
    assert code == 0 and output.index("GPU-hours") < output.index("backfill "), (
        "what it costs stands before what was started"
    )
    backfill = output.split("backfill ")[1].split()[0]
    query = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {"
    query += " numPartitions assetSelection { path } } } }"
    started = ui.ask(query, id=backfill)["partitionBackfillOrError"]
    ui.ask("mutation($id: String!) { cancelPartitionBackfill(backfillId: $id) { __typename } }", id=backfill)
    assert started["assetSelection"] == [{"path": [arguments[1]]}]
    assert f"of {started['numPartitions']} partitions" in output
    assert started["numPartitions"] == partitions or (partitions is None and started["numPartitions"] >= 7)
