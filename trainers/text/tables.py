"""Tables: records of .csv and .tsv files, rows of .parquet and .arrow files."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trainers.text.unpack import Bytes

_ROWS_AT_ONCE = 1024
_ARROW_FILE = b"ARROW1"
Record = dict[str, str] | tuple[str, str]
"""A record's fields by the header's names; or why it is none, as reason and detail."""


def csv_records(stream: Bytes, tabs: bool, longest: int) -> Iterator[tuple[int, Record]]:
    """Line of each record's begin, and the record. The first record is the header.

    Values of a .csv file may be in quotes, and then hold line breaks; in a .tsv file only if all of its beginning can
    be read so: many have none, and quotation marks in their texts.

    Args:
        stream: the file.
        tabs: values are separated by tabs, not commas.
        longest: bytes that one line, and one value, may have.
    """
    csv.field_size_limit(longest)
    encoding = "utf-8" if stream.encoding.startswith("utf-16") else stream.encoding
    quoted = not tabs or _is_quoted(stream.sample.decode(stream.encoding, "replace"), stream.is_sample_all)
    reader = _reader(_lines(stream, encoding, longest), tabs, quoted)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, ("invalid_csv", str(error))
            continue
        if header is None:
            header = values
        else:
            yield line, _record(header, values)


def _reader(lines: Iterable[str], tabs: bool, quoted: bool) -> Any:
    delimiter = "\t" if tabs else ","
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=True)


def _is_quoted(sample: str, is_all: bool) -> bool:
    """Can a table of tabs be read with quotes, by its beginning? The last record of that may be cut off."""
    lines = sample.splitlines(keepends=True)
    reader, widths, whole = _reader(lines, True, True), [0], 0
    try:
        for values in reader:
            widths.append(len(values))
            whole = reader.line_num
    except csv.Error:
        if is_all or whole < len(lines) / 2:
            return False
    return len({*(widths if is_all else widths[:-1])} - {0}) == 1


def _lines(stream: Bytes, encoding: str, longest: int) -> Iterator[str]:
    """The file's lines; bytes that are no text become lone surrogates, which `_record` finds."""
    pending = b""
    for chunk in stream:
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole:
            yield line.decode(encoding, "surrogateescape") + "\n"
        if len(pending) > longest:
            stream.broken = f"a line over {longest >> 20} MiB"
            return
    if pending and not stream.broken:
        yield pending.decode(encoding, "surrogateescape")


def _record(header: list[str], values: list[str]) -> Record:
    if not values:
        return "blank_line", ""
    if len(values) != len(header):
        return "invalid_csv", f"{len(values)} values, the header has {len(header)}"
    try:
        "".join(values).encode()
    except UnicodeEncodeError as error:
        return "invalid_encoding", f"{error.reason} at character {error.start}"
    return dict(zip(header, values, strict=True))


def table_batches(path: Path, kind: str) -> Iterator[list[dict[str, Any]]]:
    """Rows of a .parquet or .arrow file (a stream, as Hugging Face saves it, or a file), some at once.

    Raises:
        pyarrow.ArrowException, OSError: the file is broken.
    """
    import pyarrow.parquet

    with path.open("rb") as stream:
        if kind == ".parquet":
            batches = pyarrow.parquet.ParquetFile(stream).iter_batches(batch_size=_ROWS_AT_ONCE)
        elif stream.read(len(_ARROW_FILE)) == _ARROW_FILE:
            table = pyarrow.ipc.open_file(stream)
            batches = (table.get_batch(number) for number in range(table.num_record_batches))
        else:
            stream.seek(0)
            batches = pyarrow.ipc.open_stream(stream)
        for batch in batches:
            for begin in range(0, len(batch), _ROWS_AT_ONCE):
                yield batch.slice(begin, _ROWS_AT_ONCE).to_pylist()
