"""Near duplicates, partitioned by band and key: the step `join`.

A cell is a range of keys of some bands. Who has one of its keys is compared there and nowhere else; what leaves it are
edges, no more than its documents less one, or who in an earlier release is near. No process holds all of them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.corpus.parts import NOWHERE, Parts
from trainers.corpus.publish import published_file
from trainers.corpus.tasks import Context, Task
from trainers.text.minhash import BANDS, Keys, Signatures, joined

_BYTES_A_DOCUMENT = 250
"""Of memory, while a cell is worked on."""
_KEYS_WORTH_A_TASK = 2_000_000
_KNOWN = np.dtype([("number", "i8"), ("release", "i2"), ("band", "u1"), ("twin", "u4")])
_UNKNOWN_YET = np.iinfo(np.int16).max


@dataclass(frozen=True)
class KeyRange:
    """The bands from `first` to before `end`, and of their keys the range `number` of `of`."""

    first: int
    end: int
    number: int
    of: int

    @property
    def name(self) -> str:
        """It, as a file's name: cells of another division are never taken for it."""
        return f"{self.first:02d}-{self.end:02d}-{self.number:05d}-of-{self.of}"

    def bands(self, parts: Parts) -> Iterator[tuple[int, Keys, NDArray[np.int64]]]:
        """Of each band its number, the keys in this range, sorted, and the numbers of the documents that have them,
        of equal keys in their order."""
        low = np.uint32(self.number * 2**32 // self.of)
        high = np.uint32((self.number + 1) * 2**32 // self.of - 1)
        bands = range(self.first, self.end)
        keys: list[list[Keys]] = [[] for _ in bands]
        numbers: list[list[NDArray[np.int64]]] = [[] for _ in bands]
        for begin, _, part in parts:
            for mine, owners, in_band, theirs in zip(
                part.keys[bands.start : bands.stop], part.order[bands.start : bands.stop], keys, numbers, strict=True
            ):
                span = slice(np.searchsorted(mine, low), np.searchsorted(mine, high, side="right"))
                in_band.append(np.array(mine[span]))  # copied: what is mapped keeps its file open
                theirs.append(owners[span].astype(np.int64) + begin)
        for band, some, theirs in zip(bands, keys, numbers, strict=True):
            every = np.concatenate(some)
            order = np.argsort(every, kind="stable")
            yield band, every[order], np.concatenate(theirs)[order]


def cells_of(context: Context, documents: int) -> list[KeyRange]:
    """The cells of so many documents: each fits into the memory that its task may use."""
    of = max(1, -(-documents * _BYTES_A_DOCUMENT // context.memory))
    bands = max(1, min(BANDS, _KEYS_WORTH_A_TASK // max(1, documents // of)))
    return [
        KeyRange(first, min(first + bands, BANDS), number, of)
        for first in range(0, BANDS, bands)
        for number in range(of)
    ]


def tasks_by_cell(
    title: str, path: Path, cells: Iterable[KeyRange], work: Callable[[KeyRange, Context, Path], None]
) -> list[Task]:
    """A task for each cell; the cell's name is added to title and path."""
    return [
        Task(f"{title}, cell {cell.name}", path.with_name(f"{path.name}-{cell.name}"), partial(work, cell))
        for cell in cells
    ]


def edge_tasks(parts: Parts, cells: Iterable[KeyRange], folder: Path) -> list[Task]:
    """Find who in each cell is near to whom; who is in an earlier release, by `releases.npy`, is not compared."""
    work = partial(_find_edges, parts, folder / "releases.npy")
    return tasks_by_cell("near duplicates", folder / "edges", cells, work)


def _find_edges(parts: Parts, releases: Path, cell: KeyRange, context: Context, path: Path) -> None:
    """Leave edges (M, 2): numbers of documents, the lower first."""
    release = np.load(releases, mmap_mode="r")
    bands = []
    for _, keys, numbers in cell.bands(parts):
        mine = release[numbers] == NOWHERE
        keys, numbers = keys[mine], numbers[mine]
        shared = np.zeros(len(keys), np.bool_)
        shared[1:] = keys[1:] == keys[:-1]
        shared[:-1] |= shared[1:]
        bands.append((keys[shared], numbers[shared]))
    everyone = np.unique(np.concatenate([numbers for _, numbers in bands]))
    signatures = parts.gather("signatures", everyone)
    characters = -parts.gather("meta", everyone)["characters"].astype(np.int64)
    roots = joined(signatures, _longest_first(bands, everyone, characters), context.section.near_dedup.threshold)
    others = np.flatnonzero(roots != np.arange(len(roots)))
    with published_file(path) as stream:
        np.save(stream, np.stack((everyone[roots[others]], everyone[others]), axis=1))


def _longest_first(
    bands: list[tuple[Keys, NDArray[np.int64]]], everyone: NDArray[np.int64], shortness: NDArray[np.int64]
) -> Iterator[tuple[Keys, NDArray[np.int64]]]:
    """Each band with indices into `everyone`; of equal keys the longest document first, which most are near to."""
    for keys, numbers in bands:
        indices = np.searchsorted(everyone, numbers)
        order = np.lexsort((indices, shortness[indices], keys))
        yield keys[order], indices[order]


def known_tasks(parts: Parts, cells: Iterable[KeyRange], folder: Path) -> list[Task]:
    """Find who in each cell is near to a document of an earlier release."""
    return tasks_by_cell("near duplicates of earlier releases", folder / "known", cells, partial(_find_known, parts))


def _find_known(parts: Parts, cell: KeyRange, context: Context, path: Path) -> None:
    """Leave who is, in which release and band, and to whom."""
    matches = []
    for band, keys, numbers in cell.bands(parts):
        signatures = partial(_signatures, parts, numbers)
        for release, corpus in enumerate(context.earlier):
            twins = corpus.near(band, keys, signatures, context.section.near_dedup.threshold)
            known = np.empty((twins >= 0).sum(), _KNOWN)
            known["number"], known["twin"] = numbers[twins >= 0], twins[twins >= 0]
            known["release"], known["band"] = release, band
            matches.append(known)
    with published_file(path) as stream:
        np.save(stream, np.concatenate(matches))


def _signatures(parts: Parts, numbers: NDArray[np.int64], some: NDArray[np.int64]) -> Signatures:
    return parts.gather("signatures", numbers[some])


def known(parts: Parts, paths: list[Path]) -> tuple[NDArray[np.int16], NDArray[np.uint32]]:
    """Of each document the earlier release that has it or one near to it (NOWHERE: none), and where there.

    Of several the oldest release counts, and there what the lowest band says: the cells may come in any order.
    """
    release = np.full(parts.documents, _UNKNOWN_YET, np.int16)
    band = np.zeros(parts.documents, np.uint8)
    twin = np.zeros(parts.documents, np.uint32)
    for path in paths:
        rows = np.load(path)
        rows = rows[np.lexsort((rows["band"], rows["release"], rows["number"]))]
        rows = rows[np.unique(rows["number"], return_index=True)[1]]
        numbers = rows["number"]
        sooner = rows["release"] < release[numbers]
        sooner |= (rows["release"] == release[numbers]) & (rows["band"] < band[numbers])
        rows, numbers = rows[sooner], numbers[sooner]
        release[numbers], band[numbers], twin[numbers] = rows["release"], rows["band"], rows["twin"]
    release[release == _UNKNOWN_YET] = NOWHERE
    for begin, end, part in parts:
        exactly = part.release != NOWHERE
        release[begin:end][exactly], twin[begin:end][exactly] = part.release[exactly], part.twin[exactly]
    return release, twin
