"""Writing the corpus: kept documents in the order of their numbers into shards; a shard is a task."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from trainers.corpus.blocks import bucket_edges, name_of
from trainers.corpus.join import HELD_OUT, KEPT, Decisions
from trainers.corpus.packing import LEVEL, packed_aside, unpacked
from trainers.corpus.parts import Parts
from trainers.corpus.publish import published_file, published_folder
from trainers.corpus.tasks import Context, Task

COLUMNS = ("id", "text", "source", "licence", "url", "language")


@dataclass(frozen=True)
class Written:
    """The places of what was decided and is being written."""

    parts: Parts
    folder: Path

    @property
    def decided(self) -> Decisions:
        """What is written."""
        return Decisions.read(self.folder / "decided")

    def beside(self, shard: int) -> Path:
        """What a shard's task leaves for others: the held-out rows of its range, and the names of all kept ones."""
        return self.folder / f"shard-{shard:05d}"

    def names(self, shard: int) -> list[str]:
        """The ids of the kept documents of a shard's range, held-out ones too."""
        return unpacked(self.beside(shard) / "names").decode().split("\n")


def shard_tasks(written: Written) -> Iterator[Task]:
    """Write each shard of the training split. What a task leaves for others is published when its shard is there."""
    for number in range(len(written.decided.shards)):
        yield Task(f"shard {number} of train", written.beside(number), partial(_write_train, written, number))


def _write_train(written: Written, number: int, context: Context, path: Path) -> None:
    """Read the kept rows of the shard's range out of all blocks."""
    decided = written.decided
    train: list[bytes] = []
    held_out: list[bytes] = []
    names: list[str] = []
    for document, row in _kept_rows(context, written.parts, decided, *decided.shards[number].tolist()):
        (held_out if decided.says[document] & HELD_OUT else train).append(row)
        names.append(name_of(row))
    write_shard(context, "train", number, train)
    with published_folder(path) as folder:
        (folder / "held_out").write_bytes(packed_aside(held_out))
        (folder / "names").write_bytes(packed_aside(["\n".join(names).encode()]))


def held_out_tasks(context: Context, written: Written) -> Iterator[Task]:
    """Write each shard of the validation split, of the rows that the training split's left."""
    for number in range(len(written.decided.held_out)):
        path = _shard_path(context, "validation", number)
        yield Task(f"shard {number} of validation", path, partial(_write_validation, written, number))


def _write_validation(written: Written, number: int, context: Context, _: Path) -> None:
    """Take the rows of the shard's range."""
    decided = written.decided
    begin, end = decided.held_out[number].tolist()
    rows: list[bytes] = []
    for shard, (first, last) in enumerate(decided.shards.tolist()):
        if first < end and last > begin:
            mine = _held_out(decided, first, last)
            left = unpacked(written.beside(shard) / "held_out").splitlines(keepends=True)
            rows += [row for document, row in zip(mine, left, strict=True) if begin <= document < end]
    write_shard(context, "validation", number, rows)


def write_shard(context: Context, split: str, number: int, rows: Sequence[bytes]) -> None:
    """Publish a shard of JSON lines, in the form that the recipe wants."""
    packed = _FORMS[context.section.shard_format]
    with published_file(_shard_path(context, split, number), context.aside) as stream:
        stream.write(packed(rows))


def _shard_path(context: Context, split: str, number: int) -> Path:
    """Where a shard is published."""
    return context.output / split / f"{number:05d}{_SUFFIXES[context.section.shard_format]}"


def _held_out(decided: Decisions, begin: int, end: int) -> list[int]:
    both = KEPT | HELD_OUT
    return (np.flatnonzero(decided.says[begin:end] & both == both) + begin).tolist()


def _kept_rows(context: Context, parts: Parts, decided: Decisions, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Number and JSON line of each kept document of a range, a bucket in memory at a time."""
    edges = bucket_edges(context.buckets)
    width = context.buckets // parts.count
    for part_number, (first, last, part) in enumerate(parts):
        if last <= begin or first >= end:
            continue
        high, block, row = part.meta["high"], part.block, part.row
        buckets = range(part_number * width, (part_number + 1) * width)
        begins = [*np.searchsorted(high, edges[buckets.start : buckets.stop]).tolist(), last - first]
        for bucket, low, top in zip(buckets, begins[:-1], begins[1:], strict=True):
            span = slice(max(first + low, begin), min(first + top, end))
            if span.start < span.stop:
                numbers = np.flatnonzero(decided.is_kept(span)) + span.start
                lines = _lines(context, bucket, block[numbers - first], row[numbers - first])
                yield from zip(numbers.tolist(), lines, strict=True)


def _lines(context: Context, bucket: int, blocks: NDArray[np.uint32], rows: NDArray[np.uint32]) -> list[bytes]:
    lines: list[bytes] = [b""] * len(blocks)
    for number in np.unique(blocks).tolist():
        first, here = context.blocks[number].rows(bucket)
        for index in np.flatnonzero(blocks == number).tolist():
            lines[index] = here[int(rows[index]) - first]
    return lines


def _jsonl(rows: Sequence[bytes]) -> bytes:
    return zstandard.ZstdCompressor(level=LEVEL).compress(b"".join(rows))


def _parquet(rows: Sequence[bytes]) -> bytes:
    import pyarrow.parquet

    schema = pyarrow.schema([(name, pyarrow.string()) for name in COLUMNS])
    table = pyarrow.Table.from_pylist([json.loads(row) for row in rows], schema)
    packed = io.BytesIO()
    pyarrow.parquet.write_table(
        table, packed, compression="zstd", compression_level=LEVEL, use_dictionary=["source", "licence", "language"]
    )
    return packed.getvalue()


_FORMS = {"jsonl": _jsonl, "parquet": _parquet}
_SUFFIXES = {"jsonl": ".jsonl.zst", "parquet": ".parquet"}
