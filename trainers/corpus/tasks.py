"""A task: a piece of the corpus' work that any process on any machine can do, and do again.

It reads files of the partial folder and publishes files there, whole or not at all, so that one that is lost costs
itself only, and one that is done twice leaves the same. It gives nothing back.
"""

import ctypes
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np

from trainers.contract import StageError
from trainers.contract.recipe.data import CorpusSection
from trainers.corpus.blocks import PublishedBlock
from trainers.corpus.clean import Cleaner
from trainers.corpus.earlier import EarlierCorpus
from trainers.runner.host_memory import peak_bytes

EngineName = Literal["process", "pool", "ray"]
Warn = Callable[[str], None]
MOST_DEATHS = 3
"""Of a worker on one task; whatever kills it will kill the next one."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Context:
    """What all tasks of a corpus share: settings and places. Each process gets it once.

    Args:
        buckets: in how many parts a block's documents are cut by their hash.
        work: the folder of what is between the steps, on the volume that all nodes have.
        memory: bytes that a task of the joining may use, about.
        code: digest of the code that works; another one's results must not be mixed with them.
    """

    section: CorpusSection
    buckets: int
    suites: tuple[Path, ...]
    earlier: tuple[EarlierCorpus, ...]
    work: Path
    output: Path
    memory: int
    code: str

    @cached_property
    def cleaner(self) -> Cleaner:
        """The chain of one block."""
        return Cleaner(self.section, self.buckets, self.suites)

    @property
    def block_names(self) -> Path:
        """The file that names the cleaned blocks in order, written when all are."""
        return self.work / "blocks.npy"

    @cached_property
    def blocks(self) -> list[PublishedBlock]:
        """The cleaned blocks, in order."""
        names = np.load(self.block_names).tolist()
        return [PublishedBlock(self.work / "blocks" / name) for name in names]

    @property
    def aside(self) -> Path:
        """Where files of the output lie until they are whole."""
        return self.work / "aside"


@dataclass(frozen=True)
class Task:
    """What an engine runs.

    Args:
        title: what it is, for people.
        path: what it publishes last; where that is there, it is done.
        work: a module's function, which every process finds by its name, with all of its arguments but the last two.
        size: bytes that it reads, where its step counts those.
    """

    title: str
    path: Path
    work: Callable[[Context, Path], None]
    size: int = 0


class Done(NamedTuple):
    """What a task took: CPU seconds, and the most memory its process ever had, in bytes."""

    seconds: float
    peak: int
    process: str
    """Machine and number of the process."""


class Engine(AbstractContextManager["Engine"], Protocol):
    """What runs tasks somewhere. Leaving its context ends what it started, however it is left."""

    name: EngineName
    repeated: int
    """Tasks that were done again because a worker or its machine was lost."""
    dashboard: str
    """Address of its own page; empty where it has none."""

    def run(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, Done]]:
        """Do all tasks; gives each when it is done. Only so many are taken from `tasks` as can be worked on.

        Raises:
            DoesNotFit: a task's worker was killed three times.
        """


class Alone:
    """This process does one task after the other: for less work than starting processes takes."""

    name: EngineName = "process"
    repeated, dashboard = 0, ""

    def __init__(self, context: Context):
        self._context = context

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing was started."""

    def run(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, Done]]:
        """Do all tasks, in their order."""
        for task in tasks:
            yield task, _timed(task, self._context)


def attempt(task: Task, context: Context) -> Done | Exception:
    """Do a task in a worker; an error is an answer, which the driver raises."""
    try:
        return _timed(task, context)
    except (OSError, StageError) as error:
        return error
    except Exception as error:  # noqa: BLE001 - told to the driver, which raises it
        return RuntimeError(f"{task.title}: {error}\n{traceback.format_exc()}")


def _timed(task: Task, context: Context) -> Done:
    began = time.process_time()
    task.work(context, task.path)
    return Done(time.process_time() - began, peak_bytes(), f"{platform.node()}:{os.getpid()}")


def died(task: Task, deaths: int, how: str) -> str:
    """Why a task is given up, in words."""
    return (
        f"the worker on {task.title} died {deaths} times ({how}; -9 is what running out of memory looks like). "
        "Give the corpus stage more memory, or fewer cores (needs.cpu)."
    )


def die_with(parent: int) -> None:
    """Ask Linux to kill this process when its parent ends, even by kill -9: no orphan may go on writing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
