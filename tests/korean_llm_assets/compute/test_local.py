"""Stages as processes: attempts, exit codes in words, interruption, and nothing left running."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from dagster import DagsterInstance

from korean_llm_assets.compute import local
from korean_llm_assets.compute.now import NOW_TAG
from korean_llm_assets.compute.outcome import may_retry
from korean_llm_assets.home import Home
from tests.korean_llm_assets.assets.test_assets import metadata, why
from tests.korean_llm_assets.conftest import WHOLE, PlatformUnderTest, drop
from trainers.contract import ExitCode

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("marker", "attempts"), [("stop-once", 2), ("kill-once", 2)])
def test_a_stopped_or_killed_stage_goes_on_with_the_next_attempt(
    platform: PlatformUnderTest, marker: str, attempts: int
) -> None:
    release = drop(platform.home.landing, "r1", WHOLE)
    (release / "benchmarks" / marker).touch()
    platform.instance.add_dynamic_partitions("release", ["r1"])
    result = platform.run("data", "r1")
    assert result.success, why(result)
    assert metadata(result)["benchmarks"]["attempts"] == attempts
    assert metadata(result)["corpus"]["attempts"] == 1
    now = platform.instance.get_run_by_id(result.run_id).tags[NOW_TAG]
    assert now.partition(": ")[2] == "made", "what the run did last"


def test_bad_data_is_never_retried_and_told_in_the_stages_own_words(platform: PlatformUnderTest) -> None:
    release = drop(platform.home.landing, "r1", WHOLE)
    (release / "benchmarks" / "fail-65").touch()
    platform.instance.add_dynamic_partitions("release", ["r1"])
    result = platform.run("data", "r1")
    assert why(result).startswith("benchmarks r1: exit 65: the data cannot be used. row 7 has no text")
    failed = next(event for event in result.all_events if event.is_step_failure)
    assert failed.step_failure_data.user_failure_data.metadata["attempts"].value == 1


def test_resources_for_a_cluster_are_refused_here_not_ignored(platform: PlatformUnderTest) -> None:
    drop(platform.home.landing, "r1", WHOLE)
    platform.instance.add_dynamic_partitions("release", ["r1"])
    result = platform.run("data", "r1", tags={"korean-llm/gpus": "2"})
    assert why(result).startswith("gpus: this machine has no cluster profile to change")


RUN_IN_A_PROCESS = """
from dagster import DagsterInstance
from korean_llm_assets.home import Home
from tests.korean_llm_assets.conftest import PlatformUnderTest, define
with DagsterInstance.get() as instance:
    instance.add_dynamic_partitions("release", ["r1"])
    PlatformUnderTest(Home.from_environment(), instance, define()).run("data", "r1")
"""


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stage_does_not_survive_the_end_of_its_launcher(home: Home, by: signal.Signals) -> None:
    release = drop(home.landing, "r1", WHOLE)
    (release / "benchmarks" / "sleep").touch()
    launcher = subprocess.Popen([sys.executable, "-W", "ignore", "-c", RUN_IN_A_PROCESS])
    try:
        stage = _stage_process(home.artifacts)
        launcher.send_signal(by)
        launcher.wait(30)
        _wait_until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE, seconds=15)
    finally:
        launcher.kill()
        launcher.wait()
    assert list(home.artifacts.glob("benchmarks/r1/*.partial/failure.json")), "it was told to stop, and said so"
    if by == signal.SIGINT:  # who cancels sees on the run what was saved
        with DagsterInstance.get() as instance:
            (run,) = instance.get_runs()
        assert run.tags[NOW_TAG].startswith("benchmarks r1: stopped by SIGTERM; run again to go on. Kept in ")


def _stage_process(artifacts: Path) -> psutil.Process:
    folders: list[Path] = []
    _wait_until(
        lambda: bool(folders.extend(artifacts.glob("benchmarks/r1/*.partial/scratch/pid")) or folders), seconds=30
    )
    _wait_until(lambda: bool(folders[0].read_text()), seconds=5)
    return psutil.Process(int(folders[0].read_text()))


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_two_runs_of_one_request_make_one_artifact(home: Home) -> None:
    drop(home.landing, "r1", WHOLE)
    with DagsterInstance.get() as instance:  # Dagster fails where two processes add one partition at once
        instance.add_dynamic_partitions("release", ["r1"])
    runs = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", RUN_IN_A_PROCESS], env=os.environ) for _ in range(2)
    ]
    assert [run.wait(120) for run in runs] == [0, 0]
    for asset in ("benchmarks", "corpus", "instructions", "preferences"):
        made = [path for path in (home.artifacts / asset / "r1").iterdir() if path.is_dir()]
        assert len(made) == 1 and (made[0] / "manifest.json").exists()


def test_a_stage_of_data_that_hangs_is_ended_and_begun_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    class Place:
        last_sign_of_life = 0.0

    hanging = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(local, "_POLL_SECONDS", 0.01)
    with subprocess.Popen(hanging) as process:
        status = local._wait(process, Place(), 0.2)  # type: ignore[arg-type]
    assert status == ExitCode.STALLED and may_retry(status) and process.returncode == -signal.SIGKILL
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"]) as process:
        assert local._wait(process, Place(), None) == 0, "a training watches itself"  # type: ignore[arg-type]
