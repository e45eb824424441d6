"""All documents together: who stands for whom, who stays, and where each shard begins.

This alone is decided in one process: it holds some 50 bytes a document, never a text or a signature. What it decides
is left in `decided/` for the tasks that write.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.contract.recipe.data import CorpusSection
from trainers.corpus.parts import NOWHERE, Parts
from trainers.corpus.publish import published_folder
from trainers.text.minhash import lowest, unite

KEPT, HELD_OUT, COPY, TAKEN_DOWN = 1, 2, 4, 8
"""What is said of a document, in bits. HELD_OUT says of whom it would be; COPY: another has the same text,
here or in an earlier release."""


@dataclass(frozen=True)
class Decisions:
    """Arrays over all documents, in their order."""

    says: NDArray[np.uint8]
    stands: NDArray[np.int64]
    """The number of the one that stands for it."""
    release: NDArray[np.int16]
    """The earlier release that has it."""
    twin: NDArray[np.uint32]
    """Where in that."""
    place: NDArray[np.int64]
    """How many are kept before it."""
    shards: NDArray[np.int64]
    """Of each shard the range (N, 2): it holds those of them that are kept and not held out."""
    held_out: NDArray[np.int64]
    """Likewise of the shards of those that are held out."""

    def write(self, folder: Path) -> None:
        """Leave them for other processes."""
        with published_folder(folder) as aside:
            for name, array in vars(self).items():
                np.save(aside / f"{name}.npy", array)

    @classmethod
    def read(cls, folder: Path) -> "Decisions":
        """As they were left; mapped from the disk."""
        return cls(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in cls.__annotations__})

    def is_kept(self, documents: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Which of them are."""
        kept: NDArray[np.bool_] = (self.says[documents] & KEPT) != 0
        return kept


def decide(
    section: CorpusSection,
    parts: Parts,
    edges: Sequence[Path],
    known: tuple[NDArray[np.int16], NDArray[np.uint32]],
    taken_down: Sequence[tuple[int, int]],
) -> Decisions:
    """Decide all of it; depends on what the documents say, and on nothing else.

    Args:
        edges: files of pairs of near documents.
        known: of each document the release that has it, and where there.
        taken_down: content hashes of documents on the take-down list. Near duplicates go with them: what stood for
            one would hold the same.
    """
    release, twin = known
    stands = _stands(parts, edges)
    says = np.zeros(parts.documents, np.uint8)
    listed = np.zeros(parts.documents, np.bool_)
    for begin, end, part in parts:
        says[begin:end][(part.exact != np.arange(end - begin)) | (part.release != NOWHERE)] |= COPY
        listed[stands[begin:end][_has_text_of(part.meta, taken_down)]] = True
    gone = listed[stands]
    says[gone] |= TAKEN_DOWN
    kept = ~gone & (release == NOWHERE) & (stands == np.arange(len(stands)))
    says[kept] |= KEPT
    _hold_out(parts, says, section.validation_share)
    shards, held_out = _shards(parts, says, int(section.shard_megabytes * 2**20))
    return Decisions(says, stands, release, twin, np.cumsum(kept) - kept, shards, held_out)


def _stands(parts: Parts, edges: Sequence[Path]) -> NDArray[np.int64]:
    parent = np.arange(parts.documents)
    for path in edges:
        unite(parent, np.load(path))
    stands = _best(parts, lowest(parent))[parent]
    for begin, end, part in parts:
        stands[begin:end] = stands[begin + part.exact.astype(np.int64)]
    return stands


def _best(parts: Parts, roots: NDArray[np.int64]) -> NDArray[np.int64]:
    """At the number of each cluster's root, that of its best document: the longest, then the first by id."""
    best = np.arange(len(roots))
    several = roots != best
    several[roots[several]] = True
    for begin, end, _ in parts:
        numbers = np.flatnonzero(several[begin:end]) + begin
        candidates = np.union1d(numbers, best[roots[numbers]])
        meta, mine = parts.gather("meta", candidates), roots[candidates]
        shortness = -meta["characters"].astype(np.int64)
        order = np.lexsort((candidates, meta["tie"], meta["id_low"], meta["id_high"], shortness, mine))
        first = order[np.unique(mine[order], return_index=True)[1]]
        best[mine[first]] = candidates[first]
    return best


def _has_text_of(meta: NDArray[np.void], hashes: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    has = np.isin(meta["high"], np.array([high for high, _ in hashes], np.uint64))
    listed = set(hashes)
    for index in np.flatnonzero(has).tolist():
        has[index] = (int(meta["high"][index]), int(meta["low"][index])) in listed
    return has


def _hold_out(parts: Parts, says: NDArray[np.uint8], share: float) -> None:
    """Choose by hash; a small release still has something held out."""
    least, kept, held_out = np.uint64(2**64 - 1), 0, False
    for begin, end, part in parts:
        low = part.meta["low"]
        says[begin:end][low < np.uint64(share * 2**64)] |= HELD_OUT
        mine = says[begin:end] & KEPT != 0
        kept += int(mine.sum())
        held_out = held_out or bool((says[begin:end][mine] & HELD_OUT).any())
        least = min(least, low[mine].min()) if mine.any() else least
    if kept > 1 and not held_out:
        for begin, end, part in parts:
            says[begin:end][part.meta["low"] == least] |= HELD_OUT


def _shards(parts: Parts, says: NDArray[np.uint8], limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ranges of the shards of both splits: one ends with the document that fills it, the last with the last."""
    ends: dict[int, list[int]] = {KEPT: [], KEPT | HELD_OUT: []}
    last = dict.fromkeys(ends, 0)
    filled = dict.fromkeys(ends, 0)
    for begin, end, part in parts:
        sizes = part.meta["row"].astype(np.int64)
        for split in ends:
            mine = np.flatnonzero(says[begin:end] & (KEPT | HELD_OUT) == split)
            total = np.cumsum(sizes[mine]) + filled[split]
            done = 0
            while (full := int(np.searchsorted(total, done + limit))) < len(total):
                done = int(total[full])
                ends[split].append(begin + int(mine[full]) + 1)
            filled[split] = int(total[-1]) - done if len(total) else filled[split]
            last[split] = begin + int(mine[-1]) + 1 if len(mine) else last[split]
    return tuple(_ranges(ends[split], last[split], len(says)) for split in ends)  # type: ignore[return-value]


def _ranges(ends: list[int], last: int, documents: int) -> NDArray[np.int64]:
    """Ranges that leave no document out, none of them without one of its split."""
    if not last:
        return np.empty((0, 2), np.int64)
    cuts = [*(end for end in ends if end < last), documents]
    return np.stack(([0, *cuts[:-1]], cuts), axis=1)
