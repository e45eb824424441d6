"""The watchdog: a stall raises and leaves every thread's stack; a slow but steady training is left alone."""

import subprocess
import sys
import time

import pytest

from tests.support.micro import ROOT
from trainers.contract import ExitCode, Stalled
from trainers.training.stall_watchdog import Watchdog


def test_a_stall_raises_and_shows_the_stacks(tmp_path):
    watchdog = Watchdog(0.2, tmp_path / "stacks.txt")
    with pytest.raises(Stalled, match=r"no training step for .*stacks\.txt"), watchdog.watching():
        watchdog.training_begins()
        time.sleep(5)
    assert "test_a_stall_raises_and_shows_the_stacks" in (tmp_path / "stacks.txt").read_text()


def test_steps_keep_it_quiet(tmp_path):
    with Watchdog(0.4, tmp_path / "stacks.txt").watching() as watchdog:
        watchdog.training_begins()
        for _ in range(8):
            time.sleep(0.1)
            watchdog.beat()
    assert not (tmp_path / "stacks.txt").exists()


def test_a_set_up_may_last_as_long_as_it_computes(tmp_path):
    watchdog = Watchdog(0.3, tmp_path / "stacks.txt")
    with watchdog.watching():
        compute(1.5)
        with pytest.raises(Stalled, match="the set-up has done nothing for"):
            time.sleep(5)


def test_a_training_that_computes_without_a_step_is_a_stall(tmp_path):
    watchdog = Watchdog(0.3, tmp_path / "stacks.txt")
    with watchdog.watching():
        compute(0.6)
        watchdog.training_begins()
        with pytest.raises(Stalled, match="no training step"):
            compute(5)


def compute(seconds: float) -> None:
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


def test_patience_is_twice_the_usual_step(tmp_path):
    watchdog = Watchdog(0.01, tmp_path / "stacks.txt")
    for _ in range(3):
        time.sleep(0.05)
        watchdog.beat()
    assert 0.1 <= watchdog.patience < 0.5


IN_C = """
import ctypes
from pathlib import Path
from trainers.training.stall_watchdog import Watchdog

mutex = ctypes.create_string_buffer(64)
lock = ctypes.CDLL(None).pthread_mutex_lock
with Watchdog(0.2, Path("stacks.txt"), grace=0.5).watching():
    lock(mutex)
    lock(mutex)  # for ever, and no signal gets through
"""


def test_a_main_thread_in_c_code_ends_with_the_exit_code_and_says_that_nothing_was_saved(tmp_path):
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", IN_C], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == ExitCode.STALLED
    for text in (done.stderr, (tmp_path / "stacks.txt").read_text()):
        assert "inside C code and does not answer: nothing is saved" in text and "line 10" in text
