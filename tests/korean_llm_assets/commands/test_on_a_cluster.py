"""Commands in a pod of a deployment: its own store, take-down list and Dagster, and nothing beside them."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from dagster import DagsterInstance

from korean_llm_assets.__main__ import main
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.takedown_list import taken_down
from tests.korean_llm_assets.conftest import WHOLE, drop
from tests.support import charts
from trainers.contract import settings


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A pod with the chart's variables, its volume a folder of the test, where nothing else may be made."""
    data = charts.find(charts.ours(), "ConfigMap", "korean-llm-settings")["data"]
    store, dagster, here = tmp_path / "store", tmp_path / "dagster", tmp_path / "here"
    for folder in (store, dagster, here):
        folder.mkdir()
    for name, value in data.items():
        monkeypatch.setenv(name, value.replace("/mnt/korean-llm", str(store)))
    for name in (settings.PROFILES.name, settings.RECIPES.name, settings.SERVING.name):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store / 'mlflow.db'}")
    (dagster / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(dagster))
    here.chmod(0o555)
    monkeypatch.chdir(here)
    yield store
    assert list(here.iterdir()) == [], "a private state beside the deployment's"


def test_status_and_releases_are_the_deployments(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop(store / "landing", "r1", WHOLE)
    assert main(["release", "r1"]) == 0
    with DagsterInstance.get() as instance:
        assert instance.get_dynamic_partitions("release") == ["r1"]
        assert Path(instance.root_directory) == store.parent / "dagster"
    assert main(["release", "r2"]) == 64 and str(store / "landing") in capsys.readouterr().err
    assert main(["status"]) == 0


def test_a_job_is_started_where_there_is_no_workspace_file(store: Path) -> None:
    home = Home.from_environment().prepare()
    assert not home.workspace.exists()
    assert home.launch_line("training", "tiny|r1") == "launch the job training of tiny|r1 in Dagster's UI"


def test_a_takedown_reaches_the_list_that_runs_read(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What holds them is asked in a Job (tests/cluster/test_command_job.py), of names that its pod can read."""

    def ask(compute: object, words: list[str]) -> dict[str, dict[str, list[str]]]:
        names = Path(words[words.index("--ids") + 1])
        assert store in names.parents and names.read_text().split() == ["doc-1"]
        return {"artifacts": {}, "landed": {}}

    monkeypatch.setattr("korean_llm_assets.compute.cluster.compute.KubernetesCompute.ask", ask)
    ids = tmp_path / "ids"
    ids.write_text("doc-1\n")
    assert main(["takedown", "--ids", str(ids)]) == 0
    monkeypatch.setattr("sys.stdin", StringIO("doc-1\n"))
    assert main(["takedown", "--ids", "-"]) == 0, "from a laptop, through `dagster_deploy/operate`"
    assert (store / "takedown.txt").read_text().split() == ["doc-1"]
    assert taken_down() == ("doc-1",)
    assert not list(store.glob("*.ids"))


@pytest.mark.parametrize("command", [["costs"], ["clean"]])
def test_reports_and_cleaning_look_at_the_store(
    store: Path, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("korean_llm_assets.triggers.housekeeping.cluster_jobs", lambda *_: [])  # no API server here
    assert main(command) == 0, capsys.readouterr()


@pytest.mark.parametrize("command", ["ui", "demo", "serve"])
def test_what_is_for_one_machine_says_so(store: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command]) == 64
    assert "is for one machine" in capsys.readouterr().err


def test_without_a_deployment_the_pod_to_go_to_is_named(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(settings.ARTIFACTS.name)
    assert main(["status"]) == 64
    assert "exec deploy/dagster-dagster-user-deployments-korean-llm" in capsys.readouterr().err
