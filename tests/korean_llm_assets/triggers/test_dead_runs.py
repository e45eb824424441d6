"""Runs whose process was killed: seen as dead, ended, told once, retried by Dagster; those at work are left alone."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from korean_llm_assets.__main__ import main
from korean_llm_assets.home import Home
from korean_llm_assets.triggers.dead_runs import alerts_of, bury, end, is_alive

WORKER = """
import time
from dagster import DagsterInstance, job, op
@op
def hangs(context):
    print("working", flush=True)
    time.sleep(600)
@job(tags={"dagster/partition": "tiny|r1"})
def training():
    hangs()
training.execute_in_process(instance=DagsterInstance.get())
"""


@pytest.fixture
def at_work(home: Home) -> "Iterator[subprocess.Popen[str]]":
    """A process that works on a run."""
    command = [sys.executable, "-c", WORKER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        yield process
        process.kill()


def only(instance: DagsterInstance) -> DagsterRun:
    (run,) = instance.get_runs()
    return run


def test_a_run_at_work_is_left_alone_and_a_killed_one_is_ended_told_once_and_retried(
    at_work: "subprocess.Popen[str]", home: Home
) -> None:
    with DagsterInstance.get() as instance:
        assert is_alive(instance, only(instance)) and bury(instance) == []
        at_work.kill()
        at_work.wait()
        buried = bury(instance)
        assert [run.run_id for run in buried] == [only(instance).run_id] and bury(instance) == []
        assert only(instance).status == DagsterRunStatus.FAILURE
        assert only(instance).tags["dagster/will_retry"] == "true"
        (alert,) = alerts_of(buried)
        assert "tiny|r1" in alert.english and "이어서" in alert.korean


def test_a_number_that_another_process_has_by_now_is_not_the_runs(
    at_work: "subprocess.Popen[str]", home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at_work.kill()
    at_work.wait()
    with DagsterInstance.get() as instance:
        environ = tmp_path / "environ"
        environ.write_bytes(b"DAGSTER_HOME=/elsewhere\0")
        monkeypatch.setattr("korean_llm_assets.triggers.dead_runs.Path", lambda name: environ)
        assert not is_alive(instance, only(instance))


def test_however_often_the_machine_goes_down_its_runs_are_gone_on_with(home: Home) -> None:
    with DagsterInstance.get() as instance:
        first = instance.add_run(DagsterRun("training", status=DagsterRunStatus.FAILURE))
        tags = {"dagster/root_run_id": first.run_id, "dagster/parent_run_id": first.run_id}
        again = [
            instance.add_run(
                DagsterRun(
                    "training",
                    status=DagsterRunStatus.STARTED,
                    root_run_id=first.run_id,
                    parent_run_id=first.run_id,
                    tags=tags,
                )
            )
            for _ in range(7)
        ]
        assert instance.run_retries_max_retries == 3
        end(instance, again[-1])
        ended = instance.get_run_by_id(again[-1].run_id)
        assert ended and ended.tags["dagster/will_retry"] == "true"


def test_cancel_of_a_dead_run_is_one_line(
    at_work: "subprocess.Popen[str]", home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    at_work.kill()
    at_work.wait()
    with DagsterInstance.get() as instance:
        run_id = only(instance).run_id
        assert main(["cancel", run_id]) == 0
        assert capsys.readouterr().out == f"cancelled {run_id}: its process was gone\n"
        assert only(instance).status == DagsterRunStatus.CANCELED


def test_one_that_nobody_has_begun_is_dagsters_to_time_out(home: Home) -> None:
    with DagsterInstance.get() as instance:
        instance.add_run(DagsterRun("training", status=DagsterRunStatus.STARTING))
        assert bury(instance) == []
