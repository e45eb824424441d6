"""The dedup index: what a corpus leaves so that the next release is compared with it at the cost of the new data only.

`dedup_index/` holds, of the kept documents in the order of their hash: `documents.npy` (hash), `signatures.npy`,
`bands.npy` (keys sorted within each band), `order.npy` (whose key each is) and `ids.zst`: 352 bytes a document
and its id. It is mapped, not loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trainers.corpus.packing import unpacked
from trainers.text.minhash import BANDS, HASHES, Keys, Signatures, equal_hashes

BYTES_PER_DOCUMENT = 16 + HASHES + 8 * BANDS
"""On the disk, and the id."""
SignaturesOf = Callable[[NDArray[np.int64]], Signatures]


@dataclass(frozen=True)
class EarlierCorpus:
    """An earlier release's index."""

    release: str
    folder: Path

    @cached_property
    def ids(self) -> list[str]:
        """Id of each document."""
        return unpacked(self.folder / "ids.zst").decode().split("\n")

    def exact(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int64]:
        """For each document its equal in the index, or -1."""
        earlier = np.load(self.folder / "documents.npy", mmap_mode="r")
        equals = np.full(len(high), -1, np.int64)
        if len(earlier):
            place = np.searchsorted(earlier[:, 0], high)
            inside = np.minimum(place, len(earlier) - 1)
            same = (earlier[inside, 0] == high) & (earlier[inside, 1] == low)
            equals[same] = inside[same]
        return equals

    def near(self, band: int, keys: Keys, signatures: SignaturesOf, threshold: float) -> NDArray[np.int64]:
        """For each document one near to it that has the same key in a band, or -1.

        Args:
            keys: the documents' keys, sorted: the index is read from one place on.
            signatures: gives those of some of them, by their indices.
        """
        mine = np.load(self.folder / "bands.npy", mmap_mode="r")[band]
        begin, end = np.searchsorted(mine, keys), np.searchsorted(mine, keys, side="right")
        neighbours = np.full(len(keys), -1, np.int64)
        some = np.flatnonzero(begin < end)
        if len(some):
            theirs = np.load(self.folder / "signatures.npy", mmap_mode="r")
            order = np.load(self.folder / "order.npy", mmap_mode="r")[band]
            least = int(np.ceil(threshold * HASHES))
            neighbours[some] = _look(signatures(some), begin[some], end[some], order, theirs, least)
        return neighbours


@njit(cache=True)
def _look(
    mine: Signatures,
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    order: NDArray[np.uint32],
    signatures: Signatures,
    least: int,
) -> NDArray[np.int64]:
    neighbours = np.full(len(mine), -1, np.int64)
    for document in range(len(mine)):
        for place in range(begin[document], end[document]):
            other = order[place]
            if neighbours[document] < 0 and equal_hashes(mine[document], signatures[other]) >= least:
                neighbours[document] = other
    return neighbours
