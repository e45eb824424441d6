"""Watching a training: a stall is seen, shown with every thread's stack, and ends the stage with exit 81.

Set-up (loading, adapters, the reference's log-probabilities of all pairs) has no steps, and lasts as long as model and
data are large: there, what counts is that the process computes at all. In training a step must end in time.
"""

import faulthandler
import os
import signal
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from trainers.contract import ExitCode, Stalled

_RECENT_STEPS = 50
_POLLS = 20
_GRACE_SECONDS = 30.0
_LEAVING_SECONDS = 900.0
"""For a save; a volume that hangs must not hold the process for ever."""
_IDLE_SHARE = 0.05
"""A set-up that used less than this share of one core between two looks did nothing: reading over a network uses more,
a wait for a GPU spins."""


class Watchdog:
    """Raises Stalled in the main thread when no step ends for twice the usual time (and at least `floor` seconds), or
    when a set-up does nothing for `floor` seconds.

    The main thread may save before it leaves. One that is deep in C code does not hear it: after a grace period that
    is said, and the process ends with exit 81; the next attempt goes on from the last checkpoint.
    """

    def __init__(self, floor: float, evidence: Path, grace: float = _GRACE_SECONDS, leaving: float = _LEAVING_SECONDS):
        self._floor = floor
        self._evidence = evidence
        self._grace = grace
        self._leaving = leaving
        self._heard = threading.Event()
        self._steps: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._last = time.monotonic()
        self._setting_up = True
        self._over = threading.Event()

    def set_up_begins(self) -> None:
        """What comes now has no steps, however long it takes."""
        self._setting_up, self._last = True, time.monotonic()

    def training_begins(self) -> None:
        """From here on steps are expected."""
        self._setting_up, self._last = False, time.monotonic()

    def beat(self) -> None:
        """A step has ended."""
        now = time.monotonic()
        self._steps.append(now - self._last)
        self._last = now

    def pause_ended(self) -> None:
        """Something long that is no step (a save, an evaluation) has ended: count from here."""
        self._last = time.monotonic()

    @property
    def usual(self) -> float:
        """Seconds of a step: the median of the last ones, pauses (saves, evaluations) left out; 0 before the first."""
        return statistics.median(self._steps) if self._steps else 0.0

    @property
    def patience(self) -> float:
        """Seconds without a step that are a stall."""
        return max(self._floor, 2 * self.usual)

    @contextmanager
    def watching(self) -> Iterator["Watchdog"]:
        """Watch while the block runs (main thread only)."""
        before = signal.signal(signal.SIGUSR1, self._raise)
        self._last = time.monotonic()
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()
            signal.signal(signal.SIGUSR1, before)

    def _watch(self) -> None:
        looked, used = time.monotonic(), time.process_time()
        while not self._over.wait(self._floor / _POLLS):
            before, looked = looked, time.monotonic()
            spent, used = time.process_time() - used, time.process_time()
            if self._setting_up and spent > _IDLE_SHARE * (looked - before):
                self._last = looked
            if time.monotonic() - self._last > self.patience:
                with self._evidence.open("w") as stream:
                    faulthandler.dump_traceback(stream, all_threads=True)
                faulthandler.dump_traceback(all_threads=True)
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
                if not self._heard.wait(self._grace):
                    self._end("the main thread is inside C code and does not answer: nothing is saved")
                if not self._over.wait(self._leaving):
                    self._end("the main thread did not come to an end")
                return

    def _end(self, why: str) -> None:
        text = f"stalled: {why}; the next attempt goes on from the last checkpoint\n"
        with self._evidence.open("a") as stream:
            stream.write(text)
        sys.stderr.write(text)
        sys.stderr.flush()
        os._exit(ExitCode.STALLED)

    def _raise(self, signum: int, frame: FrameType | None) -> None:
        self._heard.set()
        seconds = f"{time.monotonic() - self._last:.0f} s"
        stands = (
            f"the set-up has done nothing for {seconds}"
            if self._setting_up
            else f"no training step for {seconds} (usual: {self.usual:.1f} s)"
        )
        raise Stalled(f"{stands}. Where every thread was is in {self._evidence}")
