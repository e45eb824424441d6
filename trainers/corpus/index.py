"""Writing the dedup index (trainers/corpus/earlier.py): its keys by cells, then each of its files."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from trainers.contract import DEDUP_INDEX
from trainers.corpus.near import KeyRange, tasks_by_cell
from trainers.corpus.packing import LEVEL
from trainers.corpus.publish import published_file, published_folder
from trainers.corpus.tasks import Context, Task
from trainers.corpus.write import Written
from trainers.text.minhash import BANDS, HASHES

_Keys = Sequence[tuple[KeyRange, Path]]
"""Where the keys of each cell are."""


def key_tasks(written: Written, cells: Sequence[KeyRange]) -> list[Task]:
    """Sort the keys of the kept documents of each cell."""
    return tasks_by_cell("keys of the index", written.folder / "keys", cells, partial(_sort_keys, written))


def _sort_keys(written: Written, cell: KeyRange, context: Context, path: Path) -> None:
    """Leave them, one band after the other, and whose they are."""
    decided = written.decided
    keys, order = [], []
    for _, mine, numbers in cell.bands(written.parts):
        kept = decided.is_kept(numbers)
        keys.append(mine[kept])
        order.append(decided.place[numbers[kept]].astype(np.uint32))
    with published_folder(path) as folder:
        np.save(folder / "bands.npy", np.concatenate(keys))
        np.save(folder / "order.npy", np.concatenate(order))
        np.save(folder / "begins.npy", np.cumsum([0, *map(len, keys)]))


def index_tasks(context: Context, written: Written, keys: _Keys) -> Iterator[Task]:
    """Write each file of the index."""
    folder, decided = context.output / DEDUP_INDEX, written.decided
    kept = int(decided.place[-1]) + int(decided.is_kept(slice(-1, None)).sum())
    arrays: dict[str, tuple[tuple[int, int], str, Callable[[], Iterator[NDArray[Any]]]]] = {
        "documents": ((kept, 2), "<u8", partial(_hashes, written)),
        "signatures": ((kept, HASHES), "|u1", partial(_signatures, written)),
        "bands": ((BANDS, kept), "<u4", partial(_by_key, keys, "bands")),
        "order": ((BANDS, kept), "<u4", partial(_by_key, keys, "order")),
    }
    for name, (shape, kind, pieces) in arrays.items():
        yield Task(f"{name} of the index", folder / f"{name}.npy", partial(_write_array, shape, kind, pieces))
    yield Task("ids of the index", folder / "ids.zst", partial(_write_ids, written))


def _write_array(
    shape: tuple[int, int], kind: str, pieces: Callable[[], Iterator[NDArray[Any]]], context: Context, path: Path
) -> None:
    """Put an array together; one of its pieces is in memory at a time."""
    with published_file(path, context.aside) as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
        for piece in pieces():
            stream.write(np.ascontiguousarray(piece).tobytes())


def _hashes(written: Written) -> Iterator[NDArray[np.uint64]]:
    decided = written.decided
    for begin, end, part in written.parts:
        meta, kept = part.meta, decided.is_kept(slice(begin, end))
        yield np.stack((meta["high"][kept], meta["low"][kept]), axis=1)


def _signatures(written: Written) -> Iterator[NDArray[np.uint8]]:
    decided = written.decided
    for begin, end, part in written.parts:
        yield part.signatures[decided.is_kept(slice(begin, end))]


def _by_key(keys: _Keys, name: str) -> Iterator[NDArray[np.uint32]]:
    for first, cells in groupby(keys, key=lambda each: each[0].first):  # who share bands stand together
        alike = [*cells]
        begins = [np.load(path / "begins.npy").tolist() for _, path in alike]
        arrays = [np.load(path / f"{name}.npy", mmap_mode="r") for _, path in alike]
        for band in range(alike[0][0].end - first):
            yield from (array[at[band] : at[band + 1]] for array, at in zip(arrays, begins, strict=True))


def _write_ids(written: Written, context: Context, path: Path) -> None:
    with (
        published_file(path, context.aside) as stream,
        zstandard.ZstdCompressor(level=LEVEL).stream_writer(stream, closefd=False) as packed,
    ):
        for shard in range(len(written.decided.shards)):
            packed.write((b"\n" if shard else b"") + "\n".join(written.names(shard)).encode())
