"""Exact duplicates: documents of the same normalised text. The first by id stays."""

import numpy as np
from numpy.typing import NDArray


def exact_duplicates(high: NDArray[np.uint64], low: NDArray[np.uint64], rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each document the index of the one that stands for it (itself, where it stays).

    `high` and `low` are the halves of the content hash; of equal documents the one of lowest `rank` stays.
    """
    order = np.lexsort((rank, low, high))
    same = np.zeros(len(order), np.bool_)
    same[1:] = (high[order[1:]] == high[order[:-1]]) & (low[order[1:]] == low[order[:-1]])
    heads = np.flatnonzero(~same)
    kept = np.empty(len(order), np.int64)
    kept[order] = order[heads[np.cumsum(~same) - 1]] if len(order) else order
    return kept
