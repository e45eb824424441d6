"""The watchdog: a stall raises and leaves every thread's stack; a slow but steady training is left alone."""

import time

import pytest

from trainers.contract import Stalled
from trainers.watch import Watchdog


def test_a_stall_raises_and_shows_the_stacks(tmp_path):
    watchdog = Watchdog(0.2, tmp_path / "stacks.txt")
    with pytest.raises(Stalled, match=r"no training step for .*stacks\.txt"), watchdog.watching():
        time.sleep(5)
    assert "test_a_stall_raises_and_shows_the_stacks" in (tmp_path / "stacks.txt").read_text()


def test_steps_keep_it_quiet(tmp_path):
    with Watchdog(0.4, tmp_path / "stacks.txt").watching() as watchdog:
        for _ in range(8):
            time.sleep(0.1)
            watchdog.beat()
    assert not (tmp_path / "stacks.txt").exists()


def test_patience_is_twice_the_usual_step(tmp_path):
    watchdog = Watchdog(0.01, tmp_path / "stacks.txt")
    for _ in range(3):
        time.sleep(0.05)
        watchdog.beat()
    assert 0.1 <= watchdog.patience < 0.5
