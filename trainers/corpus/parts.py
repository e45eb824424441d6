"""The kept documents of all blocks, sorted by content hash and cut into parts of it: the step `hash`.

Documents get their numbers here, by hash and, where that is equal, by what else their JSON line says: the number
of a document depends on no file, block or machine. A part is a folder of arrays over its documents, in their order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.corpus.blocks import in_order
from trainers.corpus.publish import published_folder
from trainers.corpus.tasks import Context, Task
from trainers.text.minhash import BANDS

NOWHERE = -1
"""The release of a document that no earlier release has."""
_BYTES_A_DOCUMENT = 1000
"""Of memory, while a part is made."""
_DOCUMENTS_WORTH_A_TASK = 1 << 14
_PARTS_ENOUGH = 512
"""For many nodes; each part is read from every block, so that no more are made where memory allows."""


class Part:
    """The arrays of one part, mapped from the disk."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __getattr__(self, name: str) -> NDArray[Any]:
        """`meta`, `signatures`; `block` and `row`: where it came from; `arrival`: of the blocks' documents, one block
        after the other, their places here, and `begins`: where each block's begin there; `exact`: the place of the
        one that stands for it; `release` and `twin`: which earlier release has it, and where; `keys`: of each band,
        sorted, those of who may stand for themselves, and `order`: whose they are."""
        if name.startswith("_"):
            raise AttributeError(name)
        array: NDArray[Any] = np.load(self._folder / f"{name}.npy", mmap_mode="r")
        setattr(self, name, array)  # it is asked for once: a file that is mapped costs as much as reading a page
        return array


@dataclass(frozen=True)
class Parts:
    """All parts; documents have numbers over all of them."""

    folder: Path
    count: int

    def part(self, number: int) -> Part:
        """One of them."""
        return Part(self.place(number))

    def place(self, number: int) -> Path:
        """Where it is published."""
        return self.folder / f"{number:05d}"

    def __iter__(self) -> Iterator[tuple[int, int, Part]]:
        """Of each part the number of its first document, of the next one's, and the part."""
        begins = self.begins.tolist()
        for number in range(self.count):
            yield begins[number], begins[number + 1], self.part(number)

    @cached_property
    def begins(self) -> NDArray[np.int64]:
        """The number of the first document of each part, and how many there are."""
        sizes = [len(self.part(number).meta) for number in range(self.count)]
        return np.cumsum([0, *sizes])

    @property
    def documents(self) -> int:
        """How many there are."""
        return int(self.begins[-1])

    def gather(self, name: str, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Rows of an array for documents, which may lie anywhere."""
        where = np.searchsorted(self.begins, numbers, side="right") - 1
        rows: NDArray[Any] | None = None
        for number in np.unique(where).tolist():
            here = where == number
            some = getattr(self.part(number), name)[numbers[here] - self.begins[number]]
            if rows is None:
                rows = np.empty((len(numbers), *some.shape[1:]), some.dtype)
            rows[here] = some
        return getattr(self.part(0), name)[:0] if rows is None else rows


def parts_of(context: Context, documents: int) -> Parts:
    """In how many parts so many documents are cut: a task of each fits into the memory it may use."""
    worth = max(_DOCUMENTS_WORTH_A_TASK, documents // _PARTS_ENOUGH)
    most = min(worth, max(1, context.memory // _BYTES_A_DOCUMENT))
    count = min(context.buckets, 1 << (documents // most).bit_length() if documents > most else 1)
    return Parts(context.work / f"parts-{count}", count)


def part_tasks(parts: Parts) -> Iterator[Task]:
    """Make each part, of all blocks' documents."""
    for number in range(parts.count):
        title = f"part {number + 1} of {parts.count} by hash"
        yield Task(title, parts.place(number), partial(_make_part, parts, number))


def _make_part(parts: Parts, number: int, context: Context, path: Path) -> None:
    """Sort the documents of a range of hashes, and look for equal ones, here and in earlier releases."""
    width = context.buckets // parts.count
    begins, pieces = zip(
        *(block.documents(number * width, (number + 1) * width) for block in context.blocks), strict=True
    )
    lengths = [len(piece) for piece in pieces]
    documents = np.concatenate(pieces)
    del pieces
    meta = documents["meta"]
    order = in_order(meta)
    meta, bands = meta[order], documents["bands"][order]
    arrival = np.empty(len(order), np.uint32)
    arrival[order] = np.arange(len(order), dtype=np.uint32)
    rows = np.arange(len(order), dtype=np.uint32) + np.repeat(begins - np.cumsum([0, *lengths[:-1]]), lengths)
    everyone = np.arange(len(meta), dtype=np.uint32)
    exact, release, twin = everyone, np.full(len(meta), NOWHERE, np.int16), np.zeros(len(meta), np.uint32)
    if context.section.exact_dedup:
        exact = _first_of_equals(meta)
        for age, corpus in enumerate(context.earlier):
            places = corpus.exact(meta["high"], meta["low"])
            fresh = (places >= 0) & (release == NOWHERE)
            release[fresh], twin[fresh] = age, places[fresh]
    members = np.flatnonzero((exact == everyone) & (release == NOWHERE)).astype(np.uint32)
    keys, owners = _sorted_keys(bands, members)
    arrays: dict[str, NDArray[Any]] = {
        "meta": meta,
        "signatures": documents["signature"][order],
        "block": np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths)[order],
        "row": rows.astype(np.uint32)[order],
        "arrival": arrival,
        "begins": np.cumsum([0, *lengths]),
        **{"exact": exact, "release": release, "twin": twin, "keys": keys, "order": owners},
    }
    with published_folder(path) as folder:
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)


def _sorted_keys(
    bands: NDArray[np.uint32], members: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    keys, owners = (np.empty((BANDS, len(members)), np.uint32) for _ in range(2))
    for band in range(BANDS):
        mine = bands[members, band]
        by_key = np.argsort(mine, kind="stable")
        keys[band], owners[band] = mine[by_key], members[by_key]
    return keys, owners


def _first_of_equals(meta: NDArray[np.void]) -> NDArray[np.uint32]:
    """For each document the first of those of the same text; they stand together."""
    head = np.ones(len(meta), np.bool_)
    head[1:] = (meta["high"][1:] != meta["high"][:-1]) | (meta["low"][1:] != meta["low"][:-1])
    first: NDArray[np.uint32] = np.flatnonzero(head).astype(np.uint32)[np.cumsum(head) - 1]
    return first
