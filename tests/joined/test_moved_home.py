"""MLflow's files after KOREAN_LLM_HOME was moved, on real databases (tests of `ui`: its server has them)."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from korean_llm_assets.home import Home
from trainers.contract import attachments, tracking_database
from trainers.runner.tracking import EXPERIMENT, Journal


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's migrations take seconds; each test gets a copy of their result."""
    database = tmp_path_factory.mktemp("made") / "mlflow" / "mlflow.db"
    tracking_database.prepare(database, {})
    return database


def home_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home(root)
    for name, value in home.environment().items():
        monkeypatch.setenv(name, value)
    return home


def whole_text(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return "\n".join(connection.iterdump())


def stage_reports(home: Home, made: Path, report: Path) -> str:
    """What a stage without a server leaves: a run with a file; gives the run's id."""
    home.tracking_files.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, home.tracking_files.parent / "mlflow.db")
    report.write_text("좋습니다")
    (home.root / "journals").mkdir()
    journal = Journal(home.root / "journals" / "d.jsonl")
    journal.append({"begin": {"asset": "eval_report", "partition": "tiny|r1"}, "parent": "tiny/r1", "time": 1.0})
    journal.append({"attach": [str(report)]})
    journal.append({"end": "FINISHED", "time": 2.0})
    journal.send_if_possible()
    assert journal.run_id is not None
    return journal.run_id


def read(home: Home, run: str, name: str) -> str:
    uri = MlflowClient(home.tracking_uri).get_run(run).info.artifact_uri
    return Path(get_artifact_repository(attachments.place(uri)).download_artifacts(name)).read_text()


def test_a_moved_home_has_the_files_of_its_runs_and_no_path_of_the_old_place(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = home_at(tmp_path / "old", monkeypatch)
    run = stage_reports(old, made, tmp_path / "report.html")
    assert str(tmp_path) not in whole_text(old.tracking_files.parent / "mlflow.db")
    assert str(made.parent) not in whole_text(made), "MLflow's own first experiment names no folder either"
    (tmp_path / "old").rename(tmp_path / "new")
    assert read(home_at(tmp_path / "new", monkeypatch), run, "report.html") == "좋습니다"


def test_a_database_of_an_earlier_release_loses_its_paths_and_keeps_its_files(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = home_at(tmp_path / "old", monkeypatch)
    monkeypatch.setattr(attachments, "ROOT", str(old.tracking_files))  # what it said before
    run = stage_reports(old, made, tmp_path / "report.html")
    monkeypatch.undo()
    client = MlflowClient(old.tracking_uri)
    client.create_registered_model("tiny")
    client.create_model_version("tiny", f"file://{old.root}/artifacts/d/1", tags={"artifact_path": "d/1"})
    database = old.tracking_files.parent / "mlflow.db"
    assert str(tmp_path) in whole_text(database)

    (tmp_path / "old").rename(tmp_path / "new")
    new = home_at(tmp_path / "new", monkeypatch)
    new.prepare_tracking()
    new.prepare_tracking()
    assert str(tmp_path) not in whole_text(new.tracking_files.parent / "mlflow.db")
    assert read(new, run, "report.html") == "좋습니다"
    client = MlflowClient(new.tracking_uri)
    assert client.get_model_version("tiny", "1").source == "korean-llm:/d/1"
    assert client.get_experiment_by_name(EXPERIMENT).artifact_location == attachments.ROOT


def test_a_server_elsewhere_keeps_the_files_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    home = Home(tmp_path)
    assert attachments.FOLDER not in home.environment()
    home.prepare_tracking()
    assert not (tmp_path / "mlflow").exists()
