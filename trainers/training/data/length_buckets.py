"""Length buckets: rows of like length in one step, in an order that the seed and the epoch decide."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from torch.utils.data import Sampler

_STEPS_SORTED = 50
"""Steps whose rows are sorted together: enough for little padding, few enough to keep the order random."""


class LengthBuckets(Sampler[int]):
    """Indices of rows, so that each `step_rows` of them in turn have like lengths, the longest first.

    `epoch` tells the epoch when an iteration begins. Nothing but seed and epoch decides the order, so a training that
    goes on in the middle of an epoch meets the rows that are left; and the rows of a step are the same however they
    are split into micro-batches and over processes.
    """

    def __init__(
        self,
        lengths: Sequence[int] | NDArray[np.int64],
        step_rows: int,
        seed: int,
        epoch: Callable[[], int] = lambda: 0,
    ):
        self._lengths = np.asarray(lengths)
        self._step_rows = step_rows
        self._seed = seed
        self._epoch = epoch

    def following(self, epoch: Callable[[], int]) -> "LengthBuckets":
        """The same buckets, in the order of the epoch that a training is in."""
        return LengthBuckets(self._lengths, self._step_rows, self._seed, epoch)

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        for step in self.steps():
            yield from step

    def steps(self) -> list[list[int]]:
        """This epoch's rows by step; only the last one may be short."""
        random = np.random.default_rng([self._seed, self._epoch()])
        order = random.permutation(len(self._lengths))
        span = self._step_rows * _STEPS_SORTED
        steps: list[list[int]] = []
        for begin in range(0, len(order), span):
            part = order[begin : begin + span]
            part = part[np.argsort(-self._lengths[part], kind="stable")]
            steps += [part[at : at + self._step_rows].tolist() for at in range(0, len(part), self._step_rows)]
        short = [steps.pop()] if steps and len(steps[-1]) < self._step_rows else []
        return [steps[number] for number in random.permutation(len(steps))] + short

    def fill(self, batch_size: int) -> float:
        """Share of tokens that are no padding, over this epoch's micro-batches of so many rows."""
        order = list(self)
        batches = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
        padded = sum(max(self._lengths[batch]) * len(batch) for batch in batches)
        return float(self._lengths.sum() / padded)


def row_buckets(rows: Dataset, step_rows: int, seed: int) -> LengthBuckets:
    """The buckets of training rows (see rows.py) by their tokens."""
    return LengthBuckets([sum(pieces) for pieces in rows["lengths"]], step_rows, seed)
