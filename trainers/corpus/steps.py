"""The steps of a corpus as they go: who is told how far they are, and what each took."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from trainers.contract import CorpusWork
from trainers.corpus.tasks import Done, Engine, Task
from trainers.text.losses import Log


class Listener(Log, Protocol):
    """Who is told how the work goes; a stage's Reporter is one."""

    def progress(self, step: int, total: int, unit: str = "step", figures: Mapping[str, float] | None = None) -> None:
        """How far a step is."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Figures, for whoever keeps them."""

    def training_ended(self) -> None:
        """No more steps will come."""


class Steps:
    """Runs the tasks of each step on an engine, one step after the other."""

    def __init__(self, engine: Engine, listener: Listener):
        self._engine, self._listener = engine, listener
        self._seconds: dict[str, float] = {}
        self._cpu: dict[str, float] = {}
        self._peaks: dict[str, int] = {}
        self._done = 0

    def each(self, step: str, tasks: Iterator[Task]) -> Iterator[tuple[Task, Done]]:
        """Do tasks; gives each when it is done."""
        began = time.monotonic()
        try:
            for task, done in self._engine.run(tasks):
                self._cpu[step] = self._cpu.get(step, 0.0) + done.seconds
                self._peaks[done.process] = max(self._peaks.get(done.process, 0), done.peak)
                self._done += 1
                yield task, done
        finally:
            self._seconds[step] = self._seconds.get(step, 0.0) + time.monotonic() - began

    def all(self, step: str, tasks: Iterable[Task]) -> None:
        """Do those of the tasks that are not done yet."""
        todo = [task for task in tasks if not task.path.exists()]
        for number, _ in enumerate(self.each(step, iter(todo)), 1):
            self.tell(step, number, len(todo), "task", {})

    def tell(self, step: str, done: int, total: int, unit: str, figures: Mapping[str, float]) -> None:
        """Say how far a step is."""
        self._listener.progress(done, total, f"{step}: {unit}", figures)
        self._listener.metrics(self._done, {"share_done": done / total if total else 1.0, **figures})

    @property
    def timings(self) -> dict[str, float]:
        """CPU seconds of the tasks by step, and the most memory of one process, in bytes."""
        return {
            **{f"{step}_cpu_seconds": seconds for step, seconds in self._cpu.items()},
            "peak_bytes": float(max(self._peaks.values(), default=0)),
        }

    @property
    def work(self) -> CorpusWork:
        """How it was made, for the manifest."""
        nodes: Counter[str] = Counter()
        for process, peak in self._peaks.items():
            nodes[process.rpartition(":")[0]] += peak
        return CorpusWork(
            engine=self._engine.name,
            nodes=len(nodes),
            repeated=self._engine.repeated,
            peak_by_node=dict(sorted(nodes.items())),
            seconds={step: round(seconds, 3) for step, seconds in self._seconds.items()},
            dashboard=self._engine.dashboard,
        )
