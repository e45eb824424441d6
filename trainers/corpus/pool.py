"""Worker processes on this machine: one that dies is replaced at once, and none outlives its parent."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from trainers.contract import DoesNotFit
from trainers.corpus.tasks import MOST_DEATHS, Context, Done, EngineName, Task, Warn, attempt, die_with, died

_CONTEXT = get_context("spawn")  # forking a process that has threads (the tracker's) may hang


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: Task | None = None
    deaths: int = 0


class Pool:
    """An engine of `count` worker processes."""

    name: EngineName = "pool"
    dashboard = ""

    def __init__(self, context: Context, count: int, warn: Warn):
        self._context, self._warn = context, warn
        self.repeated = 0
        self._workers = [self._start() for _ in range(count)]

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()

    def run(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, Done]]:
        """Do all tasks; gives each when it is done.

        Raises:
            DoesNotFit: a task's worker was killed three times.
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
        assert task is not None, "only a worker that was given a task is missed"
        how = f"exit {dead.process.exitcode}"
        if deaths >= MOST_DEATHS:
            raise DoesNotFit(died(task, deaths, how))
        self._warn(f"the worker on {task.title} died ({how}); trying again")
        self.repeated += 1
        self._workers[number] = self._start()
        self._workers[number].task, self._workers[number].deaths = task, deaths
        self._hand_over(number)

    def _start(self) -> _Worker:
        mine, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_work, args=(theirs, self._context, os.getpid()), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, mine)


def _work(pipe: Connection, context: Context, parent: int) -> None:
    """A worker's life: until the parent closes the pipe, or ends."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    while True:
        try:
            task: Task = pipe.recv()
        except EOFError:
            return
        pipe.send(attempt(task, context))
