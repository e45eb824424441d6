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

from trainers.contract import (
    BadData,
    BadRequest,
    BenchmarkDetails,
    DiskTrouble,
    ExitCode,
    Input,
    Interrupted,
    StageRequest,
)
from trainers.contract.artifacts import ArtifactStore, Workspace
from trainers.contract.digests import tree_digest
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


@pytest.fixture
def dropped(tmp_path):
    """A request for a landed folder of one file, and the file."""
    file = tmp_path / "landing" / "r1" / "benchmarks" / "a.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("원래 글")
    digest = tree_digest(file.parent)
    return request(inputs=[{"name": "landing", "root": "landing", "path": "r1/benchmarks", "digest": digest}]), file


def touch_back(file):
    """The old bytes and times again: what was read in between is not what the digest says."""
    stat, text = file.stat(), file.read_text()
    file.write_text("다른 글")
    file.write_text(text)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_text("다른 글"),
        touch_back,
        lambda file: file.unlink(),
        lambda file: (file.parent / "late.jsonl").write_text("늦은 글"),
        lambda file: (file.write_text("깨진"), 1 / 0),
    ],
)
def test_what_is_committed_was_made_of_what_was_hashed(store, stage, tmp_path, dropped, change):
    landed_request, file = dropped

    def overwritten(context):
        (context.scratch / "block").write_text("made of who knows what")
        change(file)
        return result(context)

    stage(overwritten)
    with pytest.raises(BadRequest, match="benchmarks changed while the stage read it. Materialize again"):
        run_stage(landed_request, store, tmp_path / "landing")
    assert store.find(landed_request) is None
    assert not [*store.beside(landed_request).scratch.iterdir(), *store.beside(landed_request).output.iterdir()]


def test_an_attempt_that_was_killed_leaves_no_work_on_other_bytes(store, stage, tmp_path, dropped):
    landed_request, file = dropped

    def killed(context):
        (context.scratch / "block").write_text("made of who knows what")
        raise KeyboardInterrupt  # no stage sees it: nothing more is looked at

    stage(killed)
    with pytest.raises(KeyboardInterrupt):
        run_stage(landed_request, store, tmp_path / "landing")
    touch_back(file)
    stage(lambda context: result(context) if not [*context.scratch.iterdir()] else pytest.fail("old work is used"))
    run_stage(landed_request, store, tmp_path / "landing")


def test_a_link_in_place_of_a_landed_folder_is_not_followed(store, stage, tmp_path, dropped):
    landed_request, file = dropped
    file.parent.rename(tmp_path / "private")
    file.parent.symlink_to(tmp_path / "private")
    with pytest.raises(BadData, match="leads out of"):
        run_stage(landed_request, store, tmp_path / "landing")


def test_a_file_that_no_manifest_names_is_seen(store, stage):
    stage(result)
    run_stage(request(), store)
    (store.folder(request()) / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(DiskTrouble, match="holds model.safetensors.index.json, which its manifest does not name"):
        store.find(request())


def test_a_volume_that_goes_away_under_a_stage_is_disk_trouble(store, stage):
    def unmounted(context):
        store.root.rename(store.root.with_name("elsewhere"))
        (context.output / "result.json").write_text("{}")

    stage(unmounted)
    with pytest.raises(DiskTrouble, match="artifacts is gone"):
        run_stage(request(), store)


def test_a_line_of_a_drop_is_no_line_of_the_log(store, stage, capsys):
    def says(context):
        context.reporter.say("read a\n[benchmarks] stage benchmarks done: FAKE\x1b[2J")
        context.reporter.warn("row 1\r\n[benchmarks] warning: FAKE")
        return result(context)

    stage(says)
    run_stage(request(), store)
    output = capsys.readouterr()
    lines = [*output.out.splitlines(), *output.err.splitlines()]
    assert not any(line.startswith(("[benchmarks] stage", "[benchmarks] warning: FAKE")) for line in lines)
    assert "\x1b" not in output.out + output.err and r"FAKE\x1b[2J" in output.out


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
    assert parent.data.tags["pipeline"] == "data/r1" and parent.data.tags["release"] == "r1"
    assert parent.data.metrics["benchmarks/items"] == 1.0, "the release's run has its stages' figures"
    assert parent.info.end_time == run.info.end_time, "and lasts as long as they do"
    first, last = manifest.attempts
    assert 1000 * first.started - 1 <= run.info.start_time <= 1000 * first.ended, "the run begins as the stage does"
    assert run.info.end_time >= 1000 * last.ended - 1, "and ends as it does"
    assert run.data.tags["stage"] == "benchmarks"
    assert len(run.data.tags["recipe_digest"]) == 64
    experiment = client.get_experiment(run.info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development", "its page opens on the runs"


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


TRACKER = """
import sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
experiment = client.get_experiment_by_name("korean-llm")
experiment = experiment.experiment_id if experiment else client.create_experiment("korean-llm")
run = client.create_run(experiment).info.run_id
for step in range(50):
    client.log_metric(run, "loss", float(step), step=step)
"""


@pytest.mark.prove
def test_four_who_track_into_one_sqlite_at_once_lose_nothing(tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment("korean-llm")
    command = [sys.executable, "-c", TRACKER, uri]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    trackers = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]
    for tracker in trackers:
        assert "ready" in tracker.stdout.readline()
    for tracker in trackers:
        tracker.stdin.close()
    assert [tracker.wait(300) for tracker in trackers] == [0] * 4
    runs = client.search_runs([experiment])
    steps = [[m.step for m in client.get_metric_history(run.info.run_id, "loss")] for run in runs]
    assert steps == [list(range(50))] * 4


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


def test_the_data_that_a_stage_reads_are_datasets_of_its_run(store, stage, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    stage(result)
    data = run_stage(request(), store)
    read = Input(name="benchmarks", digest=data.digest, path=data.request.relative_path)
    manifest = run_stage(StageRequest(stage="corpus", stage_version=1, release="r1", inputs=(read,)), store)
    (dataset,) = MlflowClient(uri).get_run(str(store.tracking_run(manifest))).inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.source) == ("benchmarks r1", data.request.relative_path)
    assert store.tracking_run(data) is not None, "a stage too short to learn its run before its manifest is linked, too"
    assert data.digest.startswith(dataset.dataset.digest) and len(dataset.dataset.digest) == 36
