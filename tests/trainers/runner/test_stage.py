"""The stage runner: every way a stage can end, as a person and a launcher see it."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from trainers.contract import BadData, BadRequest, BenchmarkDetails, DiskTrouble, ExitCode, Interrupted, StageRequest
from trainers.contract.artifacts import ArtifactStore, Workspace
from trainers.runner.stage import StageResult, run_stage

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def stage(monkeypatch):
    """Let a test's own function be the `benchmarks` stage."""

    def use(function):
        monkeypatch.setattr("trainers.runner.stage._stage_function", lambda name: function)

    yield use
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def request(seed=1, **changes):
    return StageRequest(stage="benchmarks", stage_version=1, release="r1", seed=seed, **changes)


def result(context):
    (context.output / "out.txt").write_text("결과")
    return StageResult(metrics={"items": 1.0}, details=BenchmarkDetails(suites={"a": 1}), timings={"rate": 5.0})


def test_a_finished_stage_is_reused(store, stage):
    calls = []
    stage(lambda context: calls.append(1) or result(context))
    first = run_stage(request(), store)
    again = run_stage(request(), store)
    assert (first.digest, len(calls)) == (again.digest, 1)
    assert first.timings["rate"] == 5.0
    assert first.attempts[0].exit_code == 0
    assert first.environment.versions["torch"]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (BadData("every row is empty"), ExitCode.BAD_DATA, "every row is empty"),
        (OSError(errno.ENOSPC, "No space left on device", "/v/x"), ExitCode.DISK_TROUBLE, "No space left on device"),
        (MemoryError("big"), ExitCode.DOES_NOT_FIT, "Lower batch_size"),
        (ZeroDivisionError("division by zero"), ExitCode.INTERNAL, "ZeroDivisionError: division by zero at test_stage"),
        (Interrupted("saved at step 3"), ExitCode.RESUMABLE, "saved at step 3"),
    ],
)
def test_a_failure_leaves_its_reason_and_no_artifact(store, stage, error, code, words):
    def fail(context):
        (context.output / "half.txt").write_text("half")
        raise error

    stage(fail)
    expected = DiskTrouble if code is ExitCode.DISK_TROUBLE else type(error)
    with pytest.raises(expected):
        run_stage(request(), store)
    assert store.find(request()) is None
    failure = store.failure(request())
    assert failure.exit_code == code
    assert words in failure.reason


def test_the_next_attempt_finds_what_the_last_one_saved(store, stage):
    def save_then_stop(context):
        (context.scratch / "checkpoint").write_text("step 3")
        raise Interrupted("stopped")

    stage(save_then_stop)
    with pytest.raises(Interrupted):
        run_stage(request(), store)

    def go_on(context):
        assert (context.scratch / "checkpoint").read_text() == "step 3"
        assert context.attempt.number == 2
        return result(context)

    stage(go_on)
    manifest = run_stage(request(), store)
    assert [attempt.exit_code for attempt in manifest.attempts] == [75, 0]
    assert store.failure(request()) is None


def test_gpu_seconds_are_counted_over_attempts(store, stage):
    stage_request = request(needs={"gpus": 4})
    stage(lambda context: time.sleep(0.1) or result(context))
    seconds = run_stage(stage_request, store).gpu_seconds
    assert seconds.asked == pytest.approx(seconds.used) and seconds.asked >= 0.4


def test_what_a_killed_attempt_did_after_its_last_checkpoint_is_lost(store, stage):
    class Killed(BaseException):
        """Leaves no end behind."""

    def killed(context):
        time.sleep(0.1)
        (context.scratch / "checkpoint").write_text("step 3")
        time.sleep(0.1)
        (context.scratch / "log").write_text("alive")
        raise Killed

    saved = []

    stage_request = request(needs={"gpus": 4})
    stage(killed)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Workspace, "end_attempt", lambda self, code: None)
        run_stage(stage_request, store)

    def go_on(context):
        saved.append((context.scratch / "checkpoint").stat().st_mtime)
        context.went_on_from(3, saved[0])
        return result(context)

    stage(go_on)
    manifest = run_stage(stage_request, store)
    seconds, (first, last) = manifest.gpu_seconds, manifest.attempts
    assert last.resumed_from_step == 3 and first.exit_code is None
    assert seconds.lost == pytest.approx(4 * (first.ended - saved[0])) and seconds.lost >= 0.4
    assert seconds.used == pytest.approx(seconds.asked - seconds.lost)


def test_a_bad_section_is_told(store):
    with pytest.raises(BadRequest, match=r"max_itms_per_suite"):
        run_stage(request(section={"max_itms_per_suite": 3}), store)


def test_metrics_reach_mlflow_and_a_resumed_attempt_keeps_its_run(store, stage, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    def half(context):
        context.reporter.params({"learning_rate": 0.1})
        context.reporter.metrics(1, {"loss": 3.0})
        raise Interrupted("stopped")

    def rest(context):
        context.reporter.metrics(2, {"loss": 2.0})
        return result(context)

    stage(half)
    with pytest.raises(Interrupted):
        run_stage(request(), store)
    stage(rest)
    manifest = run_stage(request(), store)
    client = MlflowClient(uri)
    run = client.get_run(manifest.tracking_run)
    assert [(m.step, m.value) for m in client.get_metric_history(manifest.tracking_run, "loss")] == [(1, 3.0), (2, 2.0)]
    assert run.data.params == {"learning_rate": "0.1"}
    assert run.data.tags["request_digest"] == request().digest
    assert run.info.status == "FINISHED"
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.data.tags["pipeline"] == "data/r1"


def test_a_tracker_that_is_down_changes_nothing_and_is_told_later(store, stage, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    stage(lambda context: context.reporter.metrics(1, {"loss": 3.0}) or result(context))
    with pytest.warns(UserWarning, match="tracking is kept in"):
        assert run_stage(request(), store).tracking_run is None
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run_stage(request(seed=2), store)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("korean-llm").experiment_id
    digests = {run.data.tags.get("request_digest") for run in client.search_runs([experiment])}
    assert {request().digest, request(seed=2).digest} <= digests


class TestCommandLine:
    """`python -m trainers` in a real process."""

    def run(self, tmp_path, *arguments, **options):
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
        return subprocess.run(
            [sys.executable, "-m", "trainers", *arguments],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, **options,
        )  # fmt: skip

    def test_help_names_stages_and_exit_codes(self, tmp_path):
        text = self.run(tmp_path, "--help").stdout
        for word in ("corpus", "cpt", "evaluate", " 75  stopped before the end"):
            assert word in text

    def test_unreadable_requests(self, tmp_path):
        assert self.run(tmp_path, "cpt", "--request", "absent.json").returncode == 64
        (tmp_path / "r.json").write_text(json.dumps({"stage": "cpt"}))
        done = self.run(tmp_path, "cpt", "--request", "r.json")
        assert (done.returncode, "is no stage request" in done.stderr) == (64, True)
        (tmp_path / "r.json").write_text(request().model_dump_json())
        done = self.run(tmp_path, "cpt", "--request", "r.json")
        assert (done.returncode, "asks for stage 'benchmarks'" in done.stderr) == (64, True)

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGKILL, -9)])
    def test_a_kill_leaves_nothing_that_looks_finished(self, tmp_path, store, number, code):
        (tmp_path / "slow_stage.py").write_text(
            textwrap.dedent("""
                import sys, time
                from trainers.runner import stage
                from trainers.__main__ import main
                def run(context):
                    (context.output / "half.txt").write_text("half")
                    print("working", flush=True)
                    time.sleep(60)
                stage._stage_function = lambda name: run
                sys.exit(main(sys.argv[1:]))
            """)
        )
        (tmp_path / "r.json").write_text(request().model_dump_json())
        process = subprocess.Popen(
            [sys.executable, "slow_stage.py", "benchmarks", "--request", "r.json", "--artifacts", str(store.root)],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        assert process.wait(30) == code
        assert store.find(request()) is None
        with store.workspace(request()):  # and the lock went with the process
            pass
