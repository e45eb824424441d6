"""A step: how many rows it has, whatever machine it meets, and how they are fed to the processes that are here."""

from dataclasses import dataclass

from trainers.contract import BadRequest
from trainers.contract.recipe import TrainingSection
from trainers.runner.ranks import world_size


@dataclass(frozen=True)
class Batching:
    """How the rows of one step are fed: `size` at once, `accumulation` times."""

    size: int
    accumulation: int

    @property
    def rows(self) -> int:
        """Rows of one step, on one process, or on those that share each row."""
        return self.size * self.accumulation

    def __str__(self) -> str:
        return f"{self.accumulation} x {self.size} rows"


def readers(section: TrainingSection, processes: int | None = None) -> int:
    """Of the processes (those here), how many read rows of their own; the others share theirs (context parallelism).

    Raises:
        BadRequest: they cannot be divided so.
    """
    processes = processes or world_size()
    if processes % section.context_parallel:
        raise BadRequest(
            f"context_parallel: {section.context_parallel} processes share each row, which {processes} cannot be "
            "divided into; ask for a multiple of it in `needs.gpus`"
        )
    return processes // section.context_parallel


def row_multiple(section: TrainingSection) -> int:
    """What the length of a row must be a multiple of: those who share one take a part of its beginning and one of its
    end each, so that causal attention is as much work for all."""
    return 2 * section.context_parallel if section.context_parallel > 1 else 1


def step_rows(section: TrainingSection, processes: int | None = None) -> int:
    """Rows of one step, over all processes: those of as many as the request names, however many there are."""
    reading = section.processes // section.context_parallel if section.processes else readers(section, processes)
    return section.batch_size * section.accumulation * reading


def batching_of(section: TrainingSection, processes: int | None = None) -> Batching:
    """A step's rows on so many processes (those that are here): the micro-batches that the section says, more or fewer
    of them, or smaller ones, so that the step is the one that the request names.

    Raises:
        BadRequest: the rows cannot be divided among so many processes.
    """
    rows, reading = step_rows(section, processes), readers(section, processes)
    for size in range(section.batch_size, 0, -1):
        if rows % (size * reading) == 0:
            return Batching(size, rows // (size * reading))
    raise BadRequest(
        f"a step has {rows} rows (batch_size x accumulation x processes), which cannot be divided among {reading}; "
        "train on a number of GPUs that divides them"
    )
