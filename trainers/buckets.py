"""Length buckets: rows of like length in one batch, in an order that the seed and the epoch decide."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

_BATCHES_SORTED = 50
"""Batches that are sorted together: enough for little padding, few enough to keep the order random."""


class LengthBuckets(Sampler[int]):
    """Indices of rows, so that each `batch_size` of them in turn have like lengths.

    `epoch` tells the epoch when an iteration begins. Nothing but seed and epoch decides the order, so a training that
    goes on in the middle of an epoch meets the rows that are left; and `batch_size` is the recipe's, so a micro-batch
    that was halved to fit changes no order either.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, epoch: Callable[[], int] = lambda: 0):
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> list[list[int]]:
        """This epoch's batches; only the last one may be short."""
        random = np.random.default_rng([self._seed, self._epoch()])
        order = random.permutation(len(self._lengths))
        span = self._batch_size * _BATCHES_SORTED
        found: list[list[int]] = []
        for begin in range(0, len(order), span):
            part = order[begin : begin + span]
            part = part[np.argsort(-self._lengths[part], kind="stable")]
            found += [part[at : at + self._batch_size].tolist() for at in range(0, len(part), self._batch_size)]
        short = [found.pop()] if found and len(found[-1]) < self._batch_size else []
        return [found[number] for number in random.permutation(len(found))] + short

    def fill(self) -> float:
        """Share of tokens that are no padding, over this epoch's batches."""
        padded = sum(max(self._lengths[batch]) * len(batch) for batch in self.batches())
        return float(self._lengths.sum() / padded)
