"""The shards of a corpus: read one by one, whatever their format."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ROWS_AT_ONCE = 1024


def read_shards(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a corpus split (`train` or `validation`), shard by shard, JSON lines or Parquet."""
    for path in sorted(folder.glob("[!.]*")):
        if path.suffix == ".parquet":
            import pyarrow.parquet

            with pyarrow.parquet.ParquetFile(path) as table:
                for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE):
                    yield from batch.to_pylist()
        else:
            import zstandard

            with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
                for line in io.TextIOWrapper(stream, encoding="utf-8"):
                    yield json.loads(line)
