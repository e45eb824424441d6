"""Every door that Dagster users use, with every job: the real UI, daemon and command lines; models are scripted.

In the gate each door opens once and each job runs once; `make prove PART=doors` opens every door with every job.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
import yaml

from korean_llm_assets.home import Home
from korean_llm_assets.triggers.jobs import JOBS, SCHEDULES
from tests.support.alert_receiver import receiving
from tests.support.served import LOCATION, ROOT, Served, served, small_release, wait_until
from trainers.contract import STAGES

pytestmark = pytest.mark.slow

RELEASE, CELL = "door-launch", "tiny|door-launch"
PARTITIONS = {"data": RELEASE, "base": "tiny", "training": CELL, "drift": None, "housekeeping": None}
ASSETS = {
    "data": [stage.asset for stage in STAGES.values() if not stage.by_model],
    "base": ["base_model"],
    "training": [stage.asset for stage in STAGES.values() if stage.by_model and stage.by_release],
}
LAUNCH = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
DRY_RUN = """mutation($selector: ScheduleSelector!) { scheduleDryRun(selectorData: $selector, timestamp: 1767225600) {
  ... on DryRunInstigationTick { evaluationResult { error { message } runRequests { runConfigYaml } } } } }"""


def through_the_ui(ui: Served, job: str) -> None:
    """The button Materialize of one partition, or Launch of a job without partitions."""
    assets = {"assetSelection": [{"path": [name]} for name in ASSETS.get(job, ())]}
    _launch(ui, "__ASSET_JOB" if job in ASSETS else job, job, assets if job in ASSETS else {})


def through_graphql(ui: Served, job: str) -> None:
    """The named job, as a client of the API starts it."""
    _launch(ui, job, job, {})


def _launch(ui: Served, name: str, job: str, selector: dict[str, Any], config: str = "{}") -> None:
    partition = PARTITIONS[job]
    tags = [{"key": "dagster/partition", "value": partition}] if partition else []
    params = {
        "selector": {**LOCATION, "pipelineName": name, **selector},
        "mode": "default",
        "runConfigData": config,
        "executionMetadata": {"tags": tags},
    }
    launched = ui.ask(LAUNCH, params=params)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    assert ui.finish(launched["run"]["runId"]) == "SUCCESS"


def through_asset_materialize(ui: Served, job: str) -> None:
    """`dagster asset materialize`, superseded by `dg launch` and still there."""
    module = ("-m", "korean_llm_assets.definitions")
    partition = PARTITIONS[job]
    assert partition is not None
    ui.command("dagster", "asset", "materialize", "--select", ",".join(ASSETS[job]), "--partition", partition, *module)


def through_dg_launch(ui: Served, job: str) -> None:
    """`dg launch`, in its own process."""
    partition = PARTITIONS[job]
    ui.dg("launch", "--job", job, *(["--partition", partition] if partition else []))


def through_job_launch(ui: Served, job: str) -> None:
    """`dagster job launch`, with the partition as a tag, which is all that it has; the daemon starts it."""
    partition, door = PARTITIONS[job], f"launch {job}"
    tags = {"door": door, **({"dagster/partition": partition} if partition else {})}
    ui.command("dagster", "job", "launch", "-w", str(ui.home.workspace), "-j", job, "--tags", json.dumps(tags))
    _all_succeed(ui, 1, door=door)


def through_a_backfill_of_the_command_line(ui: Served, job: str) -> None:
    """`dagster job backfill`."""
    door, partition = f"backfill {job}", PARTITIONS[job]
    assert partition is not None
    place = ("-w", str(ui.home.workspace), "-j", job, "--partitions", partition)
    ui.command("dagster", "job", "backfill", *place, "--tags", json.dumps({"door": door}), "--noprompt")
    _all_succeed(ui, 1, door=door)


def through_a_backfill_of_the_ui(ui: Served, job: str) -> None:
    """Several partitions at once, as far as there are."""
    names = ["door-backfill-1", "door-backfill-2"] if job == "data" else [PARTITIONS[job]]
    params = {"assetSelection": [{"path": [name]} for name in ASSETS[job]], "partitionNames": names}
    launched = ui.ask(BACKFILL, params=params)["launchPartitionBackfill"]
    _all_succeed(ui, len(names), dagster__backfill=launched["backfillId"])


def through_its_schedule(ui: Served, job: str) -> None:
    """What the schedule asks for when it is tested in the UI, launched as it says."""
    (name,) = [schedule.name for schedule in SCHEDULES if schedule.job.name == job]
    selector = {"repositoryName": LOCATION["repositoryName"], "repositoryLocationName": "korean_llm"}
    tick = ui.ask(DRY_RUN, selector={**selector, "scheduleName": name})["scheduleDryRun"]["evaluationResult"]
    assert tick["error"] is None
    (request,) = tick["runRequests"]
    _launch(ui, job, job, {}, config=request["runConfigYaml"])


def _all_succeed(ui: Served, count: int, **tags: str) -> None:
    wait_until(lambda: len(ui.runs(**tags)) == count, 240)
    assert [ui.finish(run["runId"]) for run in ui.runs(**tags)] == ["SUCCESS"] * count


EVERY = tuple(PARTITIONS)
DOORS: dict[Callable[[Served, str], None], tuple[str, ...]] = {
    through_job_launch: EVERY,
    through_the_ui: EVERY,
    through_graphql: EVERY,
    through_asset_materialize: tuple(ASSETS),
    through_dg_launch: EVERY,
    through_a_backfill_of_the_command_line: tuple(ASSETS),
    through_a_backfill_of_the_ui: tuple(ASSETS),
    through_its_schedule: ("drift", "housekeeping"),
}
"""Door -> the jobs that it can start. The sensor, the condition, `start` and `remake` have tests of their own below."""
SAMPLED = {
    (through_job_launch, "data"),
    (through_graphql, "base"),
    (through_job_launch, "training"),
    (through_the_ui, "data"),
    (through_asset_materialize, "training"),
    (through_dg_launch, "base"),
    (through_a_backfill_of_the_command_line, "training"),
    (through_a_backfill_of_the_ui, "data"),
    (through_its_schedule, "drift"),
    (through_its_schedule, "housekeeping"),
}
TABLE = [
    pytest.param(door, job, id=f"{door.__name__}-{job}", marks=[] if (door, job) in SAMPLED else [pytest.mark.prove])
    for job in EVERY
    for door, jobs in DOORS.items()
    if job in jobs
]


def test_the_table_has_every_job() -> None:
    assert {job.name for job in JOBS} == {*EVERY, "intake"}, "intake is started by the sensor alone"
    assert {job for _, job in SAMPLED} == set(EVERY) and {door for door, _ in SAMPLED} == set(DOORS)


@pytest.mark.parametrize(("door", "job"), TABLE)
def test_a_door_opens_with_a_job(ui: Served, door: Callable[[Served, str], None], job: str) -> None:
    door(ui, job)
    for asset in ASSETS.get(job, ()):
        assert PARTITIONS[job] in ui.materialized(asset)


def test_a_new_folder_is_found_while_the_ui_runs(ui: Served) -> None:
    release = small_release(ui.home, "새 소식", text="소식")
    (release / "_READY").touch()
    wait_until(lambda: ui.runs(korean_llm__landed_as="새 소식"), 120)
    (run,) = ui.runs(korean_llm__landed_as="새 소식")
    assert ui.finish(run["runId"]) == "SUCCESS"
    assert any(key.startswith("release-") for key in ui.materialized("corpus"))


def test_what_a_person_starts_is_made_by_the_conditions(ui: Served) -> None:
    """`start`, as `status` prints it; the daemon's tick then asks for the cell."""
    lines = ui.command("korean_llm_assets", "status").splitlines()
    (command,) = [line.split("start the newest: python -m ")[1] for line in lines if "approval: tiny on" in line]
    cell = f"tiny|{command.split()[-1]}"
    ui.command(*command.split())
    wait_until(lambda: cell in ui.materialized("deployed_model"), 240)


@pytest.mark.prove
def test_what_approve_and_remake_print_works_as_it_is_printed(ui: Served) -> None:
    """A gate that failed, the approval of it and the command that this prints; then what a changed recipe offers."""
    older, newer = "door-cli", "door-browser"
    cell = f"tiny|{older}"
    for job, partition in (("data", older), ("data", newer), ("base", "tiny"), ("training", cell)):
        command = [str(Path(sys.executable).with_name("dg")), "launch", "--job", job, "--partition", partition]
        variables = {**ui.environment, "SMALL_STAGES_GATE": "fail"}
        subprocess.run(command, env=variables, capture_output=True, timeout=600, cwd=ROOT)
    assert cell in ui.materialized("eval_report") and cell not in ui.materialized("deployed_model")
    named = ("--model", "tiny", "--release", older, "--who", "김하나", "--why", "shown on Friday, not used")
    _as_printed(ui, ui.command("korean_llm_assets", "approve", *named).splitlines()[-1])
    wait_until(lambda: cell in ui.materialized("deployed_model"), 480)

    recipe = Path(ui.environment["KOREAN_LLM_RECIPES"]) / "tiny.yaml"
    before = recipe.read_text()
    page = yaml.safe_load(before)
    recipe.write_text(yaml.safe_dump({**page, "rlhf": {**page["rlhf"], "beta": 0.3}}))
    try:
        lines = ui.command("korean_llm_assets", "status").splitlines()
        (offer,) = [line for line in lines if "outdated by a changed recipe" in line and "tiny on" in line]
        shown = _as_printed(ui, offer.split("US dollars: ")[1])
        assert "the same with --yes starts it" in shown
        assert "1 partitions started" in _as_printed(ui, offer.split("US dollars: ")[1] + " --yes")
    finally:
        recipe.write_text(before)


def _as_printed(ui: Served, line: str) -> str:
    """A line of advice, in the shell of a person whose virtual environment is active; its output."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        line,
        shell=True,
        env={**ui.environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mlflow_shows_the_runs(ui: Served) -> None:
    with urlopen(f"{ui.mlflow}/version", timeout=30) as answer:
        assert answer.status == 200


def test_a_location_that_does_not_load_is_told_and_nothing_is_left_running_after_ctrl_c(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = Home(tmp_path_factory.mktemp("stopped"))
    with receiving() as receiver, served(home, KOREAN_LLM_CORES="all", KOREAN_LLM_ALERT_WEBHOOK=receiver.url):
        wait_until(lambda: receiver.got, 90)
        assert "KOREAN_LLM_CORES is 'all'" in receiver.got[0]["english"]
        assert _processes_of(home)
    wait_until(lambda: not _processes_of(home), 30)


@pytest.mark.prove
def test_all_of_it_waits_in_1_2_gb(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Code server, web server, daemon and MLflow; pages that several of them share are counted once."""
    home = Home(tmp_path_factory.mktemp("idle"))
    (home.landing / "empty").mkdir(parents=True)  # else the sample is laid down
    with served(home, KOREAN_LLM_MODELS="tiny") as ui:
        for _ in range(3):
            ui.ask("{ assetsOrError { ... on AssetConnection { nodes { id } } } }")
        pids = _processes_of(home)
        taken = {pid: psutil.Process(pid).memory_full_info().pss for pid in pids}
    assert len(pids) >= 4 and sum(taken.values()) < 1.2e9, taken


def _processes_of(home: Home) -> list[int]:
    pages = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("KOREAN_LLM_HOME") == str(home.root) and process.status() != "zombie":
                pages.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended while we looked, or is not ours
    return pages
