"""Tables: records of .csv and .tsv files, rows of .parquet, .arrow and .xlsx files."""

import csv
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, BinaryIO

from trainers.text.unpack import Broken, Bytes

_ROWS_AT_ONCE = 1024
_ARROW_FILE = b"ARROW1"
_DELIMITERS = ",;\t|"
_MOST_TITLES = 10
"""Among so many lines a table's header is looked for."""
_SEPARATOR = re.compile(r"sep=.", re.IGNORECASE)
"""Excel's first line, which is none of the table."""
_ESCAPE = re.compile(r'\\(["\\])')
_INNER_LINES = 3
"""So many lines inside one value, each of which is a whole record by itself, say that a quote was never closed."""
Record = dict[str, str] | tuple[str, str]
"""A record's fields by the header's names; or why it is none, as reason and detail."""


class _Lines:
    """The file's lines, which can be taken back; bytes that are no text become lone surrogates (see `_record`)."""

    def __init__(self, stream: Bytes, longest: int, escaped: bool):
        lines = self._read(stream, longest)
        self._lines = map(_doubled, lines) if escaped else lines
        self._back: deque[str] = deque()
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._lines)
        self.number += 1
        self.taken.append(line)
        return line

    def skip_blank(self) -> int:
        """Go on to the next line that is not blank: how many were, which may be a hundred million."""
        count = 0
        while (line := self._back.popleft() if self._back else next(self._lines, "")) and not line.strip():
            count += 1
        if line:
            self._back.appendleft(line)
        self.number += count
        return count

    def take_back(self) -> str:
        """All lines taken since `taken` was emptied, but for the first: that one is given."""
        first, *rest = self.taken
        self._back.extendleft(reversed(rest))
        self.number -= len(rest)
        self.taken = [first]
        return first

    @staticmethod
    def _read(stream: Bytes, longest: int) -> Iterator[str]:
        pending = b""
        end = b"\r" if b"\r" in stream.sample and b"\n" not in stream.sample else b"\n"  # a Mac's of old
        for chunk in stream:
            *whole, pending = (pending + chunk).split(end)
            for line in whole:
                yield line.decode(stream.encoding, "surrogateescape") + "\n"
            if len(pending) > longest:
                stream.broken = Broken("line_too_long", f"a line over {longest >> 20} MiB")
                return
        if pending and not stream.broken:
            yield pending.decode(stream.encoding, "surrogateescape")


def csv_records(stream: Bytes, tabs: bool, longest: int) -> Iterator[tuple[int, int, Record]]:
    """Line of each record's begin, its characters, and the record. The first record is the header.

    Values of a .csv file may be in quotes, and then hold line breaks; in a .tsv file only if all of its beginning can
    be read so: many have none, and quotation marks in their texts. Where a quote is never closed, its own line is
    counted and reading goes on at the next one.

    Args:
        stream: the file.
        tabs: values are separated by tabs; else by what the header has most of: commas, semicolons, tabs or bars.
        longest: bytes that one line, and one value, may have.
    """
    csv.field_size_limit(longest)
    sample = stream.beginning
    above, beginning = _above_header(sample if "\n" in sample else sample.replace("\r", "\n"))
    delimiter = "\t" if tabs else _delimiter(beginning)
    quoted = not tabs or _is_quoted(beginning, delimiter, stream.is_sample_all)
    escaped = quoted and _is_escaped(beginning, delimiter, stream.is_sample_all)
    lines = _Lines(stream, longest, escaped)
    for _ in islice(lines, above):
        pass
    reader = _reader(lines, delimiter, quoted, beginning)
    header: list[str] | None = None
    while True:
        if blank := lines.skip_blank():
            yield lines.number - blank + 1, blank, ("blank_line", "")
        lines.taken.clear()
        line = lines.number + 1
        problem = ""
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            values, problem = [], str(error)
            if header is None:
                values, problem = lines.take_back().rstrip("\r\n").split(delimiter), ""
        if len(lines.taken) > 1 and (problem or _swallowed(header, values, lines.taken, delimiter)):
            first = lines.take_back()
            yield line, len(first), ("invalid_csv", problem or "a quote that is never closed; reading goes on after it")
        elif problem:
            yield line, len(lines.taken[0]), ("invalid_csv", problem)
        elif header is None:
            header = _distinct(values)
        else:
            yield line, sum(map(len, values)), _record(header, values, delimiter)


def _above_header(beginning: str) -> tuple[int, str]:
    """How many lines stand above the header, and the table's beginning without them.

    Excel's `sep=;`; or a title that has no separator in it, above two lines that have equally many.
    """
    lines = beginning.split("\n")
    if _SEPARATOR.fullmatch(lines[0].strip()):
        return 1, "\n".join(lines[1:])
    filled = [(n, _separators(line)) for n, line in enumerate(lines[:_MOST_TITLES]) if line.strip()]
    first = next((n for n, (_, width) in enumerate(filled) if width), 0)
    if not first or len(filled) < first + 2 or filled[first][1] != filled[first + 1][1]:
        return 0, beginning
    above = filled[first][0]
    if any('"' in line for line in lines[:above]):
        return 0, beginning
    return above, "\n".join(lines[above:])


def _separators(line: str) -> int:
    """The most separators of one kind in a line; those inside of quotes are none."""
    try:
        return max(len(next(_reader([line], each, True, strict=False), [])) - 1 for each in _DELIMITERS)
    except csv.Error:
        return 0


def _distinct(names: list[str]) -> list[str]:
    """The header's names, each once: the second `text` is `text (2)`, so that none stands for the other."""
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(f"{name} ({seen[name]})" if seen[name] > 1 else name)
    return distinct


def _delimiter(beginning: str) -> str:
    """What separates the names of the header; the comma, where none does."""
    header = beginning.lstrip().partition("\n")[0]
    return max(_DELIMITERS, key=header.count)


def _swallowed(header: list[str] | None, values: list[str], lines: list[str], delimiter: str) -> bool:
    """Whether a record of several lines is a quote that was never closed: it has not the header's width, or what it
    swallowed are whole records themselves."""
    if header is None:
        return False
    if len(values) != len(header):
        return True
    inner = [line for line in lines[1:-1] if line.strip()]
    if len(header) < 2 or len(inner) < _INNER_LINES:
        return False
    return all(line.count(delimiter) == len(header) - 1 for line in inner)


def _reader(lines: Iterable[str], delimiter: str, quoted: bool, beginning: str = "", strict: bool = True) -> Any:
    """Records of lines; where a space follows each of the header's separators, it is no part of the values."""
    header = beginning.partition("\n")[0]
    spaced = 0 < header.count(delimiter) == header.count(f"{delimiter} ")
    return csv.reader(
        lines,
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=strict,
        skipinitialspace=spaced,
    )


def _is_quoted(sample: str, delimiter: str, is_all: bool) -> bool:
    """Can a table be read with quotes, by its beginning? The last record of that may be cut off."""
    lines = sample.splitlines(keepends=True)
    reader, widths, whole = _reader(lines, delimiter, True, sample), [0], 0
    try:
        for values in reader:
            widths.append(len(values))
            whole = reader.line_num
    except csv.Error:
        if is_all or whole < len(lines) / 2:
            return False
    return len({*(widths if is_all else widths[:-1])} - {0}) == 1


def _is_escaped(sample: str, delimiter: str, is_all: bool) -> bool:
    """Is a quote inside of a value `\\"`? So it is where the table can be read that way, and in no other."""
    if '\\"' not in sample or _is_quoted(sample, delimiter, is_all):
        return False
    return _is_quoted("".join(map(_doubled, sample.splitlines(keepends=True))), delimiter, is_all)


def _doubled(line: str) -> str:
    """A line of such a table with its quotes as all others write them; what else a backslash stands before stays."""
    return _ESCAPE.sub(lambda match: '""' if match[1] == '"' else "\\", line)


def _record(header: list[str], values: list[str], delimiter: str) -> Record:
    if len(values) != len(header):
        return "invalid_csv", f"{len(values)} values, the header has {len(header)} ({delimiter.join(header)[:80]})"
    try:
        "".join(values).encode()
    except UnicodeEncodeError as error:
        return "invalid_encoding", f"{error.reason} at character {error.start}"
    return dict(zip(header, values, strict=True))


def table_batches(stream: BinaryIO, kind: str) -> Iterator[list[dict[str, Any]]]:
    """Rows of a .parquet or .arrow file (a stream, as Hugging Face saves it, or a file), some at once.

    Raises:
        pyarrow.ArrowException, OSError: the file is broken.
    """
    import pyarrow.parquet

    if kind == ".parquet":
        batches = pyarrow.parquet.ParquetFile(stream).iter_batches(batch_size=_ROWS_AT_ONCE)
    elif stream.read(len(_ARROW_FILE)) == _ARROW_FILE:
        table = pyarrow.ipc.open_file(stream)
        batches = (table.get_batch(number) for number in range(table.num_record_batches))
    else:
        stream.seek(0)
        batches = pyarrow.ipc.open_stream(stream)
    for batch in batches:
        batch.validate(full=True)  # else lengths that a damaged file gives lead out of memory, and the process dies
        batch = _texts(batch)
        for begin in range(0, len(batch), _ROWS_AT_ONCE):
            yield batch.slice(begin, _ROWS_AT_ONCE).to_pylist()


def _texts(batch: Any) -> Any:
    """Columns of bytes as text where they are text: Spark's of old, whose schema does not say so."""
    import pyarrow

    for number, column in enumerate(batch.columns):
        if pyarrow.types.is_binary(column.type) or pyarrow.types.is_large_binary(column.type):
            try:
                text = column.cast(pyarrow.large_string())
            except pyarrow.ArrowInvalid:  # pictures
                continue
            batch = batch.set_column(number, batch.schema.field(number).with_type(text.type), text)
    return batch


def sheet_rows(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and row of each sheet of an .xlsx file, by the names in the sheet's first row; empty rows are none.

    Formulas count as what they last came to.

    Raises:
        ValueError: the file is broken; openpyxl itself raises anything then.
    """
    import openpyxl

    try:
        book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
        for sheet in book.worksheets:
            numbered = enumerate(sheet.iter_rows(values_only=True), 1)
            rows = ((number, values) for number, values in numbered if _width(values))
            yield from _below_header(rows)
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's trouble, not the file's
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _width(values: Iterable[Any]) -> int:
    return sum(value is not None for value in values)


def _below_header(rows: Iterator[tuple[int, tuple[Any, ...]]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows by the names of the first; by those of the next one, where the first is a single cell above wider ones."""
    _, names = next(rows, (0, ()))
    if _width(names) == 1 and (below := next(rows, None)):
        if _width(below[1]) > 1:
            names = below[1]
        else:
            rows = chain([below], rows)
    header = _distinct(["" if name is None else str(name) for name in names])
    for number, values in rows:
        yield number, {name: _cell(value) for name, value in zip(header, values, strict=False)}


def _cell(value: Any) -> Any:
    """A cell as JSON has it: text, truth or null; numbers and dates as their texts, which a table of text has, too."""
    return value if value is None or isinstance(value, str | bool) else str(value)
