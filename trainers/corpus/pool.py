"""Worker processes that clean blocks: one that dies is replaced at once, and none outlives its parent."""

import ctypes
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from trainers.contract import DoesNotFit, StageError
from trainers.corpus.clean import Cleaner
from trainers.text.read import Block

_MOST_DEATHS = 3
_PR_SET_PDEATHSIG = 1
_CONTEXT = get_context("spawn")  # forking a process that has threads (the tracker's) may hang


@dataclass(frozen=True)
class Task:
    """One block to clean and the place to publish it at."""

    block: Block
    place: Path

    def run(self, cleaner: Cleaner) -> "Spent":
        """Do it; returns what it took."""
        began = time.process_time()
        cleaner.clean(self.block).publish(self.place, self.block.file)
        return Spent(time.process_time() - began, peak_bytes())


def peak_bytes() -> int:
    """The most memory this process had; getrusage would count what its parent had when it was started."""
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    lines = status.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


class Spent(NamedTuple):
    """What a task took: CPU seconds, and the most memory its process ever had, in bytes."""

    seconds: float
    peak: int


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: Task | None = None
    deaths: int = 0


class Pool:
    """`count` worker processes; leaving the context ends them, however it is left."""

    def __init__(self, cleaner: Cleaner, count: int, warn: Callable[[str], None]):
        self._cleaner, self._warn = cleaner, warn
        self._workers = [self._start() for _ in range(count)]

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()

    def run(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, Spent]]:
        """Do all tasks; gives each when it is done, with what it took.

        Raises:
            DoesNotFit: a block's worker was killed three times.
        """
        upcoming = next(tasks, None)
        while True:
            for number, worker in enumerate(self._workers):
                if worker.task is None and upcoming is not None:
                    worker.task, upcoming = upcoming, None
                    self._hand_over(number)
                if upcoming is None:  # read ahead while the workers work
                    upcoming = next(tasks, None)
            busy = [worker for worker in self._workers if worker.task is not None]
            if not busy:
                return
            connection.wait([*(worker.pipe for worker in busy), *(worker.process.sentinel for worker in busy)])
            for number, worker in enumerate(self._workers):
                if worker.task is None:
                    continue
                try:
                    answer = worker.pipe.recv() if worker.pipe.poll() else None
                except (EOFError, ConnectionResetError):
                    self._replace(number)
                    continue
                if isinstance(answer, BaseException):
                    raise answer
                if answer is not None:
                    task, worker.task, worker.deaths = worker.task, None, 0
                    yield task, answer
                elif not worker.process.is_alive():
                    self._replace(number)

    def _hand_over(self, number: int) -> None:
        try:
            self._workers[number].pipe.send(self._workers[number].task)
        except (BrokenPipeError, ConnectionResetError):
            self._replace(number)

    def _replace(self, number: int) -> None:
        """Start a new worker in the place of a dead one and give it the same task."""
        dead = self._workers[number]
        dead.process.join()
        task, deaths = dead.task, dead.deaths + 1
        where = f"block {task.block.number} ({task.block.file} from line {task.block.line})" if task else "nothing"
        if deaths >= _MOST_DEATHS:
            raise DoesNotFit(
                f"the worker on {where} died {deaths} times (exit {dead.process.exitcode}; -9 is what running out of "
                "memory looks like). Give the corpus stage more memory, or fewer cores (needs.cpu)."
            )
        self._warn(f"the worker on {where} died (exit {dead.process.exitcode}); trying again")
        self._workers[number] = self._start()
        self._workers[number].task, self._workers[number].deaths = task, deaths
        self._hand_over(number)

    def _start(self) -> _Worker:
        mine, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_work, args=(theirs, self._cleaner, os.getpid()), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, mine)


def _work(pipe: Connection, cleaner: Cleaner, parent: int) -> None:
    """A worker's life: until the parent closes the pipe, or ends."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    while True:
        try:
            task: Task = pipe.recv()
        except EOFError:
            return
        try:
            answer: Spent | Exception = task.run(cleaner)
        except (OSError, StageError) as error:
            answer = error
        except Exception as error:  # noqa: BLE001 - told to the parent, which raises it
            answer = RuntimeError(f"cleaning {task.block.file}: {error}\n{traceback.format_exc()}")
        pipe.send(answer)


def _die_with(parent: int) -> None:
    """Ask Linux to kill this process when its parent ends, even by kill -9: no orphan may go on writing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
