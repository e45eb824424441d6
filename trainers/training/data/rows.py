"""Training rows on disk: written once as an Arrow file, memory-mapped, and put together into batches."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import torch
from datasets import Dataset
from torch.nn.functional import pad

from trainers.contract.digests import file_sha256

IGNORED = -100
"""A label that no loss is computed for."""

_ROWS_PER_BATCH = 1024
_T = TypeVar("_T")


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows (each a mapping of names to lists of int32; `weights` of float32) as an Arrow stream."""
    writer = None
    with pa.OSFile(str(path), "wb") as sink:
        for batch in batched(rows, _ROWS_PER_BATCH):
            columns = {name: pa.array([row[name] for row in batch], _type_of(name)) for name in batch[0]}
            table = pa.RecordBatch.from_pydict(columns)
            writer = writer or pa.ipc.new_stream(sink, table.schema)
            writer.write_batch(table)
        if writer:
            writer.close()


def _type_of(column: str) -> pa.DataType:
    return pa.list_(pa.float32() if column == "weights" else pa.int32())


def is_kept(path: Path, notes: Path) -> bool:
    """True where an earlier attempt finished writing `path`: its notes are there and name the file's hash."""
    if not (path.is_file() and notes.is_file()):
        return False
    try:
        digest = json.loads(notes.read_text(encoding="utf-8"))["digest"]
    except (ValueError, KeyError):  # killed while writing the notes
        return False
    return bool(digest == file_sha256(path))


def batched(rows: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of `size`; the last one may be shorter (itertools.batched needs Python 3.12)."""
    source = iter(rows)
    while batch := list(islice(source, size)):
        yield batch


def read_rows(path: Path) -> Dataset:
    """Rows that were written before, memory-mapped."""
    return Dataset.from_file(str(path))


@dataclass
class PackedCollator:
    """Rows of packed pieces -> one batch, without an attention mask: positions that start again tell the model
    where a piece begins, and it attends to that piece only.

    Rows of one length become a rectangle. Others are padded to the longest row, or, with `flatten`, laid end to
    end in a single row (no padding; what variable-length attention kernels want). Unsloth does not look at positions:
    it wants the pieces' lengths as `packed_seq_lengths`, and would else let them see each other and cut the row.
    """

    pad_token_id: int
    flatten: bool = False
    multiple: int = 1
    """Rectangles are as wide as a multiple of this: processes that share rows take two equal parts each."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """`rows`: input_ids, lengths of the pieces, labels where they are not the inputs, and weights of the pieces
        where they differ. Returns tensors of shape (rows, tokens), or (1, all tokens) when flat."""
        columns = [_columns(row) for row in rows]
        if self.flatten:
            lengths = torch.tensor([length for row in rows for length in row["lengths"]], dtype=torch.int32)
            flat = {name: torch.cat([row[name] for row in columns])[None] for name in columns[0]}
            return {**flat, "packed_seq_lengths": lengths}
        fill = {"input_ids": self.pad_token_id, "labels": IGNORED, "position_ids": 0, "loss_weights": 0}
        longest = max(len(row["input_ids"]) for row in columns)
        width = -(-longest // self.multiple) * self.multiple
        return {
            name: torch.stack([pad(row[name], (0, width - len(row[name])), value=fill[name]) for row in columns])
            for name in columns[0]
        }


def _columns(row: dict[str, Any]) -> dict[str, torch.Tensor]:
    ids = torch.tensor(row["input_ids"], dtype=torch.long)
    labels = torch.tensor(row["labels"], dtype=torch.long) if "labels" in row else ids.clone()
    lengths = torch.tensor(row["lengths"])
    starts = lengths.cumsum(0) - lengths
    labels[starts] = IGNORED  # predicted from the piece before it, which it does not belong to
    positions = torch.arange(len(ids)) - starts.repeat_interleave(lengths)
    columns = {"input_ids": ids, "labels": labels, "position_ids": positions}
    if "weights" in row:
        columns["loss_weights"] = torch.tensor(row["weights"], dtype=torch.float32).repeat_interleave(lengths)
    return columns
