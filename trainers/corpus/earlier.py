"""The dedup index: what a corpus leaves so that the next release is compared with it at the cost of the new data only.

`dedup_index/` holds, of the kept documents in the order of their hash: `documents.npy` (hash), `signatures.npy`,
`bands.npy` (keys sorted within each band), `order.npy` (whose key each is) and `ids.zst`: 352 bytes a document
and its id. It is mapped, not loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import zstandard
from numba import njit
from numpy.typing import NDArray

from trainers.text.minhash import BANDS, HASHES, Keys, Signatures, equal_hashes

BYTES_PER_DOCUMENT = 16 + HASHES + 8 * BANDS
"""On the disk, and the id."""


def write_index(
    folder: Path,
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    signatures: Signatures,
    bands: Sequence[Keys],
    ids: list[str],
) -> None:
    """Write the index of the kept documents, given in the order of their hash."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "documents.npy", np.stack((high, low), axis=1))
    np.save(folder / "signatures.npy", signatures)
    order = [np.argsort(keys, kind="stable").astype(np.uint32) for keys in bands]
    np.save(folder / "order.npy", np.array(order, np.uint32).reshape(len(bands), len(ids)))
    np.save(folder / "bands.npy", np.array([keys[o] for keys, o in zip(bands, order, strict=True)], np.uint32))
    (folder / "ids.zst").write_bytes(zstandard.ZstdCompressor(level=3).compress("\n".join(ids).encode()))


@dataclass(frozen=True)
class EarlierCorpus:
    """An earlier release's index."""

    release: str
    folder: Path

    @cached_property
    def ids(self) -> list[str]:
        """Id of each document."""
        return zstandard.ZstdDecompressor().decompress((self.folder / "ids.zst").read_bytes()).decode().split("\n")

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

    def near(self, mine: Signatures, bands: Sequence[Keys], threshold: float) -> NDArray[np.int64]:
        """For each document one near to it in the index, or -1."""
        signatures = np.load(self.folder / "signatures.npy", mmap_mode="r")
        keys = np.load(self.folder / "bands.npy", mmap_mode="r")
        order = np.load(self.folder / "order.npy", mmap_mode="r")
        neighbours = np.full(len(mine), -1, np.int64)
        least = int(np.ceil(threshold * HASHES))
        for band in range(BANDS):
            begin = np.searchsorted(keys[band], bands[band])
            end = np.searchsorted(keys[band], bands[band], side="right")
            _look(mine, begin, end, order[band], signatures, least, neighbours)
        return neighbours


@njit(cache=True)
def _look(
    mine: Signatures,
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    order: NDArray[np.uint32],
    signatures: Signatures,
    least: int,
    neighbours: NDArray[np.int64],
) -> None:
    for document in range(len(mine)):
        for place in range(begin[document], end[document]):
            other = order[place]
            if neighbours[document] < 0 and equal_hashes(mine[document], signatures[other]) >= least:
                neighbours[document] = other
