"""The platform is killed, all of it, at random instants, and started again: the release ends in a champion."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from dagster import DagsterInstance

from korean_llm_assets.home import Home
from korean_llm_assets.resources import Platform
from korean_llm_assets.serving.registry import CHAMPION
from tests.support.alert_receiver import receiving
from tests.support.served import ROOT, own_recipes, small_release, wait_until
from trainers.contract import STAGES

pytestmark = [pytest.mark.prove, pytest.mark.timeout(3600)]

KILLS = 5
SHORT = {
    "cpt": {"max_steps": 12, "checkpoint_steps": 3},
    "sft": {"max_steps": 12, "checkpoint_steps": 3},
    "rlhf": {"max_steps": 6, "checkpoint_steps": 2},
    "evaluate": {"gate": {"contaminated_items": None}},
    "automation": "auto",
}
"""Real stages, each of seconds."""
SCRIPTED = {
    "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "support" / "scripted_models"), str(ROOT)]),
    "SCRIPT": json.dumps({"steps": 12, "step_seconds": 1.5}),
}
"""Stages of a model that train nothing and take long enough to be killed in, a checkpoint each step."""


def kill_everything(process: subprocess.Popen[bytes]) -> int:
    """The power goes: servers, run workers, stages, at once; how many processes there were."""
    family = [psutil.Process(process.pid)]
    family += family[0].children(recursive=True)
    for member in family:
        member.suspend()
    more = family[0].children(recursive=True)  # born meanwhile
    for member in {*family, *more}:
        member.send_signal(signal.SIGKILL)
    process.wait()
    return len(family)


@pytest.mark.parametrize(
    ("variables", "seed", "longest"),
    [pytest.param(SCRIPTED, 1, 40, id="scripted"), pytest.param({}, 1, 60, id="real")],
)
def test_after_five_kills_of_the_whole_tree_an_unattended_release_is_the_champion_with_no_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], seed: int, longest: float
) -> None:
    """Each kill comes up to `longest` seconds after the platform said that it is up."""
    monkeypatch.setenv("KOREAN_LLM_HOME", str(tmp_path / "var"))
    home = Home.from_environment()
    chance = random.Random(seed)
    with receiving() as receiver:
        monkeypatch.setenv("KOREAN_LLM_ALERT_WEBHOOK", receiver.url)
        monkeypatch.setenv("KOREAN_LLM_MODELS", "tiny")
        monkeypatch.setenv("KOREAN_LLM_RECIPES", str(own_recipes(home, tiny=SHORT)))
        for name, value in home.environment().items():
            monkeypatch.setenv(name, value)
        home.prepare()
        (small_release(home, "r1") / "_READY").touch()
        command = [sys.executable, "-m", "korean_llm_assets", "ui", "--dagster-port", "0", "--mlflow-port", "0"]
        at_work: Counter[str] = Counter()
        for number in range(KILLS + 1):
            log = tmp_path / f"ui-{number}.log"
            with log.open("wb") as stream:
                process = subprocess.Popen(command, stdout=stream, stderr=stream, env={**os.environ, **variables})
            try:
                _await(process, log, lambda words: "Ctrl-C stops all" in words, 300)
                if number < KILLS:
                    time.sleep(chance.uniform(1, longest))
                    assert not _champion(), f"it was done before kill {number + 1}: nothing is proven"
                    at_work.update(_open_runs())
                else:
                    _await(process, log, lambda words: _champion(), 1800)
            finally:
                killed = kill_everything(process)
            assert killed > 1, log.read_text()[-3000:]
    assert _champion()
    assert at_work, "no kill met a run"
    with DagsterInstance.get() as instance:
        assert instance.get_dynamic_partitions("release") == ["r1"]
    made = Counter(path.parents[1] for path in home.artifacts.glob("*/**/manifest.json") if ".partial" not in str(path))
    assert len(made) == len(STAGES) and set(made.values()) == {1}, "each cell has one artifact"
    assert not any(alert["kind"] in ("failure", "quarantine") for alert in receiver.got), receiver.got


def _await(process: "subprocess.Popen[bytes]", log: Path, condition: Callable[[str], bool], seconds: float) -> None:
    """Until something is so; the platform must live meanwhile."""
    wait_until(lambda: condition(log.read_text()) or process.poll() is not None, seconds)
    assert process.poll() is None, log.read_text()[-3000:]


def _champion() -> bool:
    return Platform.from_environment().registry.version("tiny", CHAMPION) is not None


def _open_runs() -> list[str]:
    with DagsterInstance.get() as instance:
        return [run.job_name for run in instance.get_runs() if not run.is_finished]
