"""Reporters: whatever a stage says to the leader's it may say to a follower's; only the leader's is heard."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trainers.contract import BaseModelDetails, Manifest, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.runner.metrics_server import Exporter
from trainers.runner.reporting import FollowerReporter, LeaderReporter, Reporter
from trainers.runner.tracking import Tracking

REQUEST = StageRequest(stage="base_model", stage_version=1, model="tiny")
SHAPE = {"source": "built", "architecture": "none", "parameters": 1, "vocabulary": 1, "tokenizer_hash": "0"}


def manifest() -> Manifest:
    details = BaseModelDetails(**SHAPE)
    return Manifest(request=REQUEST, request_digest=REQUEST.digest, files=(), metrics={"loss": 1.5}, details=details)


def calls(folder: Path) -> dict[str, Callable[[Reporter], object]]:
    """Every public name of the interface, used."""
    attached = folder / "report.md"
    attached.write_text("# report")
    return {
        "say": lambda reporter: reporter.say("said"),
        "warn": lambda reporter: reporter.warn("warned"),
        "progress": lambda reporter: reporter.progress(1, 1, "block", {"loss": 2.0}),
        "metrics": lambda reporter: reporter.metrics(1, {"loss": 2.0}),
        "pulse": lambda reporter: reporter.pulse(),
        "checkpoint_saved": lambda reporter: reporter.checkpoint_saved(),
        "training_ended": lambda reporter: reporter.training_ended(),
        "params": lambda reporter: reporter.params({"learning_rate": 0.1}),
        "attach": lambda reporter: reporter.attach(attached),
        "finish": lambda reporter: reporter.finish(manifest()),
        "tracking_run": lambda reporter: reporter.tracking_run,
    }


def use(reporter: Reporter, folder: Path) -> None:
    todo = calls(folder)
    assert set(todo) == {name for name in vars(Reporter) if not name.startswith("_")}, "a name that is not tried"
    for call in todo.values():
        assert call(reporter) is None  # the tracker is off


def test_the_leaders_reporter_is_whole_and_heard(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with ArtifactStore(tmp_path).workspace(REQUEST) as workspace, LeaderReporter.open(REQUEST, workspace) as reporter:
        use(reporter, workspace.output)
    heard = capsys.readouterr()
    assert heard.out.splitlines() == ["[base_model] said", "[base_model] block 1/1  loss 2"]
    assert heard.err == "[base_model] warning: warned\n"
    journal = (tmp_path / ".tracking" / f"{REQUEST.digest}.jsonl").read_text().splitlines()
    kinds = [next(iter(json.loads(line))) for line in journal]
    assert kinds == ["begin", "metrics", "params", "attach", "metrics", "parent metrics", "end"]


def test_the_time_that_is_left_is_told_by_each_unit_for_itself(tmp_path, capsys, monkeypatch):
    """Steps go on by their own clock after an evaluation, and each evaluation begins anew."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with ArtifactStore(tmp_path).workspace(REQUEST) as workspace, LeaderReporter.open(REQUEST, workspace) as reporter:
        for seconds, *progress in (
            *((10, 1, 5), (10, 2, 5)),
            *((30, 1, 3, "batch"), (30, 2, 3, "batch"), (10, 3, 5)),
            *((5, 1, 3, "batch"), (5, 2, 3, "batch")),
        ):
            now += seconds
            reporter.progress(*progress)
    assert capsys.readouterr().out.splitlines() == [
        "[base_model] step 1/5",
        "[base_model] step 2/5  ETA 30s",
        "[base_model] batch 1/3",
        "[base_model] batch 2/3  ETA 30s",
        "[base_model] step 3/5  ETA 80s",
        "[base_model] batch 1/3",
        "[base_model] batch 2/3  ETA 5s",
    ]


def test_a_followers_reporter_is_whole_and_only_warns(tmp_path, capsys):
    use(FollowerReporter(REQUEST), tmp_path)
    heard = capsys.readouterr()
    assert heard.out == "" and heard.err == "[base_model] warning: warned\n"


def test_half_a_reporter_cannot_be_made():
    class Half(Reporter):
        def say(self, text: str) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Half()


def test_what_is_left_is_told_to_prometheus_at_the_pace_of_the_present_work(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    clock = iter([100.0, 110.0, 120.0, 130.0, 140.0, 145.0])
    monkeypatch.setattr("trainers.runner.reporting.time.monotonic", lambda: next(clock))
    exporter, left = Exporter(REQUEST), []
    with ArtifactStore(tmp_path).workspace(REQUEST) as workspace, Tracking.open(REQUEST, workspace) as tracking:
        reporter = LeaderReporter(REQUEST, tracking, None, exporter)
        for step, unit in ((1, "block"), (2, "block"), (1, "task"), (2, "task"), (1, "task"), (3, "task")):
            reporter.progress(step, 10, unit)
            left.append(next((s.value for f in exporter.collect() for s in f.samples if "eta" in s.name), None))
    assert left == [None, 80.0, 80.0, 80.0, 80.0, 5.0 / 2 * 7], "other work, or the same again, has a pace of its own"
    assert "task 3/10  ETA 18s" in capsys.readouterr().out
