"""Reporters: whatever a stage says to the leader's it may say to a follower's; only the leader's is heard."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trainers.contract import BaseModelDetails, Manifest, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.runner.reporting import FollowerReporter, LeaderReporter, Reporter

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
    assert kinds == ["begin", "metrics", "params", "attach", "metrics", "end"]


def test_a_followers_reporter_is_whole_and_only_warns(tmp_path, capsys):
    use(FollowerReporter(REQUEST), tmp_path)
    heard = capsys.readouterr()
    assert heard.out == "" and heard.err == "[base_model] warning: warned\n"


def test_half_a_reporter_cannot_be_made():
    class Half(Reporter):
        def say(self, text: str) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Half()
