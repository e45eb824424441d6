"""The same work through every door that Dagster users use, with the real stages of the data assets."""

import json
from urllib.request import urlopen

import psutil
import pytest

from korean_llm_assets.home import Home
from tests.support.served import LOCATION, Served, own_recipes, served, small_release, wait_until

pytestmark = pytest.mark.slow

LAUNCH = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


def test_the_ui_materializes_one_partition(ui: Served) -> None:
    selector = {**LOCATION, "pipelineName": "__ASSET_JOB", "assetSelection": [{"path": ["benchmarks"]}]}
    tags = [{"key": "dagster/partition", "value": "door-ui"}]
    params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}}
    launched = ui.ask(LAUNCH, params=params)["launchPipelineExecution"]
    assert ui.finish(launched["run"]["runId"]) == "SUCCESS"
    assert "door-ui" in ui.materialized("benchmarks")


def test_dagster_asset_materialize(ui: Served) -> None:
    module = ("-m", "korean_llm_assets.definitions")
    ui.command("dagster", "asset", "materialize", "--select", "benchmarks", "--partition", "door-cli", *module)
    assert "door-cli" in ui.materialized("benchmarks")


def test_dagster_job_launch_with_a_workspace_and_the_daemon(ui: Served) -> None:
    tags = json.dumps({"dagster/partition": "door-launch", "door": "launch"})
    ui.command("dagster", "job", "launch", "-w", str(ui.home.workspace), "-j", "data", "--tags", tags)
    wait_until(lambda: ui.runs(door="launch"), 60)
    assert ui.finish(ui.runs(door="launch")[0]["runId"]) == "SUCCESS"
    assert "door-launch" in ui.materialized("corpus")


def test_a_backfill_over_partitions(ui: Served) -> None:
    names = ["door-backfill-1", "door-backfill-2"]
    params = {"assetSelection": [{"path": ["benchmarks"]}], "partitionNames": names}
    launched = ui.ask(BACKFILL, params=params)["launchPartitionBackfill"]
    wait_until(lambda: len(ui.runs(dagster__backfill=launched["backfillId"])) == 2, 120)
    for run in ui.runs(dagster__backfill=launched["backfillId"]):
        assert ui.finish(run["runId"]) == "SUCCESS"
    assert set(names) <= ui.materialized("benchmarks")


def test_a_new_folder_is_found_while_the_ui_runs(ui: Served) -> None:
    release = small_release(ui.home, "새 소식", text="소식")
    (release / "_READY").touch()
    wait_until(lambda: ui.runs(korean_llm__landed_as="새 소식"), 120)
    (run,) = ui.runs(korean_llm__landed_as="새 소식")
    assert ui.finish(run["runId"]) == "SUCCESS"
    assert any(key.startswith("release-") for key in ui.materialized("corpus"))


def test_mlflow_shows_the_runs(ui: Served) -> None:
    with urlopen(f"{ui.mlflow}/version", timeout=30) as answer:
        assert answer.status == 200


def test_nothing_is_left_running_after_ctrl_c(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = Home(tmp_path_factory.mktemp("stopped"))
    recipes = own_recipes(home, tiny={"automation": "off"})
    with served(home, KOREAN_LLM_RECIPES=str(recipes)):
        assert _processes_of(home)
    wait_until(lambda: not _processes_of(home), 30)


def _processes_of(home: Home) -> list[int]:
    pages = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("KOREAN_LLM_HOME") == str(home.root) and process.status() != "zombie":
                pages.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended while we looked, or is not ours
    return pages
