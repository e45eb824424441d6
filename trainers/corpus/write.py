"""Writing the corpus: kept documents in the order of their hash into shards, excluded ones into one file."""

import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from trainers.corpus.blocks import PublishedBlock
from trainers.text.records import Exclusion

COLUMNS = ("id", "text", "source", "licence", "url", "language")
EXCLUSIONS = "exclusions.jsonl.zst"
_LEVEL = 3


class ShardWriter:
    """Rows into `<folder>/NNNNN.jsonl.zst` or `.parquet`, a new shard after every `shard_bytes` of text.

    A shard appears whole or not at all; one that is there, of an attempt that was killed, is not made again.
    """

    def __init__(self, folder: Path, shard_bytes: int, form: str):
        self._folder, self._limit = folder, shard_bytes
        self._suffix, self._packed = _FORMS[form]
        self._number, self._rows, self._size = 0, [], 0  # type: int, list[bytes], int
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, row: bytes) -> None:
        """Add one row, a JSON line."""
        self._rows.append(row)
        self._size += len(row)
        if self._size >= self._limit:
            self.close()

    def close(self) -> None:
        """Finish the open shard."""
        path = self._folder / f"{self._number:05d}{self._suffix}"
        if self._rows and not path.exists():
            self._publish(path)
        self._number, self._rows, self._size = self._number + 1, [], 0

    def _publish(self, path: Path) -> None:
        aside = path.with_name(f".{path.name}")
        with aside.open("wb") as stream:
            stream.write(self._packed(self._rows))
            stream.flush()
            os.fsync(stream.fileno())
        aside.rename(path)


def _jsonl(rows: Sequence[bytes]) -> bytes:
    return zstandard.ZstdCompressor(level=_LEVEL).compress(b"".join(rows))


def _parquet(rows: Sequence[bytes]) -> bytes:
    import pyarrow.parquet

    schema = pyarrow.schema([(name, pyarrow.string()) for name in COLUMNS])
    table = pyarrow.Table.from_pylist([json.loads(row) for row in rows], schema)
    packed = io.BytesIO()
    pyarrow.parquet.write_table(
        table, packed, compression="zstd", compression_level=_LEVEL, use_dictionary=["source", "licence", "language"]
    )
    return packed.getvalue()


_FORMS = {"jsonl": (".jsonl.zst", _jsonl), "parquet": (".parquet", _parquet)}


def write_documents(
    blocks: Sequence[PublishedBlock],
    buckets: int,
    kept: NDArray[np.bool_],
    validation: NDArray[np.bool_],
    output: Path,
    shard_bytes: int,
    form: str,
) -> None:
    """Write the kept documents; `kept` and `validation` run over the documents of all blocks, in order."""
    begins = np.cumsum([0, *(len(block.meta) for block in blocks)]).tolist()
    train, held_out = (ShardWriter(output / split, shard_bytes, form) for split in ("train", "validation"))
    for bucket in range(buckets):
        entries: list[tuple[int, int, bytes, bool]] = []
        for begin, block in zip(begins, blocks, strict=False):
            first, rows = block.rows(bucket)
            for index, row in enumerate(rows, first):
                if kept[begin + index]:
                    meta = block.meta[index]
                    entries.append((int(meta["high"]), int(meta["low"]), row, bool(validation[begin + index])))
        entries.sort()
        for _, _, row, is_validation in entries:
            (held_out if is_validation else train).write(row)
    train.close()
    held_out.close()


def write_exclusions(rows: Iterable[Exclusion], path: Path) -> None:
    """Write `exclusions.jsonl.zst`, one row each, in the order given."""
    with (
        path.open("wb") as raw,
        zstandard.ZstdCompressor(level=_LEVEL).stream_writer(raw) as stream,
    ):
        for row in rows:
            stream.write(json.dumps(vars(row), ensure_ascii=False).encode() + b"\n")
