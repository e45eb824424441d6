"""Files that somebody made, or a disk spoilt: whatever they hold, they end as rows or as exclusions, within bounds."""

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.files import parquet, tarred, workbook, written, zipped
from trainers.contract.recipe.data import FieldSettings
from trainers.text.archives import _LONGEST_HEADER
from trainers.text.read import files_below, read_blocks
from trainers.text.records import parse

ROWS = [{"id": f"d{n}", "text": f"문서 {n}번입니다. " * 5} for n in range(5)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def arrow(kind: Callable[..., pyarrow.ipc.RecordBatchStreamWriter], rows: list[dict[str, Any]]) -> bytes:
    table = pyarrow.Table.from_pylist(rows)

    def write(target: io.BytesIO) -> None:
        with kind(target, table.schema) as stream:
            stream.write_table(table)

    return written(write)


PARQUET = parquet(ROWS)
SOUND = {
    "a.jsonl": LINES,
    "a.json": json.dumps(ROWS).encode(),
    "a.csv": b'id,text\n1,"a\nb"\n2,c\n',
    "a.tsv": b"id\ttext\n1\tx\n",
    "wiki_00": '<doc id="1" url="x" title="t">\nt\n\n글\n</doc>\n'.encode(),
    "a.jsonl.gz": gzip.compress(LINES),
    "a.jsonl.bz2": bz2.compress(LINES),
    "a.jsonl.xz": lzma.compress(LINES),
    "a.jsonl.zst": zstandard.compress(LINES),
    "a.zip": zipped({"a.jsonl": LINES, "한/b.jsonl": LINES, "c.zip": zipped({"x.jsonl": LINES})}),
    "a.tar": tarred({"a.jsonl": LINES, "한" * 60 + ".jsonl": LINES}),
    "a.tgz": gzip.compress(tarred({"a.jsonl": LINES, "b.parquet": PARQUET})),
    "a.parquet": PARQUET,
    "a.arrow": arrow(pyarrow.ipc.new_stream, ROWS),
    "b.arrow": arrow(pyarrow.ipc.new_file, ROWS),
    "a.xlsx": workbook(["id", "text"], *(list(row.values()) for row in ROWS)),
}


def read(folder: Path, name: str, data: bytes) -> tuple[int, list[str]]:
    """Documents, and the reasons of what is none; all that is said of them can be written down."""
    (folder / name).write_bytes(data)
    parsed = [parse(block, FieldSettings()) for block in read_blocks(files_below(folder))]
    documents = [document for part in parsed for document in part.documents]
    excluded = [row for part in parsed for row in part.exclusions]
    for part in parsed:
        "".join(part.ignored).encode()
    for one in documents:
        "".join((one.id, one.source, one.licence, one.url)).encode()
    for row in excluded:
        "".join((row.id, row.file, row.reason, row.detail)).encode()
    return len(documents), [row.reason for row in excluded]


WOUNDS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from([0, 1, 4, 100]),
        st.one_of(st.binary(max_size=8), st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\xff" * 8])),
    ),
    min_size=1,
    max_size=4,
)
"""Where (a share of the file), how many bytes are taken away, and what is there instead."""


@pytest.mark.parametrize("name", SOUND)
@given(wounds=WOUNDS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_wounded_file_is_read_as_far_as_it_goes(tmp_path: Path, name: str, wounds: list[tuple[float, int, bytes]]):
    data = SOUND[name]
    for share, gone, instead in wounds:
        at = int(share * len(data))
        data = data[:at] + instead + data[at + gone :]
    documents, reasons = read(tmp_path, name, data)
    assert documents or reasons or not data.strip()


@pytest.mark.parametrize("name", SOUND)
def test_the_sound_ones_are_sound(tmp_path: Path, name: str):
    documents, reasons = read(tmp_path, name, SOUND[name])
    assert documents and reasons == []


ZIP = zipped({"a.jsonl": LINES, "한.jsonl": LINES})
DIRECTORY = ZIP.rfind(b"PK\x01\x02", 0, ZIP.rfind(b"PK\x01\x02"))
END = ZIP.rfind(b"PK\x05\x06")


def replaced(at: int, new: bytes) -> bytes:
    return ZIP[:at] + new + ZIP[at + len(new) :]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(replaced(DIRECTORY + 6, b"\xff\x00"), id="a version that nobody knows"),
        pytest.param(replaced(DIRECTORY + 8, b"\x20\x00"), id="patched data"),
        pytest.param(replaced(DIRECTORY + 8, b"\x40\x00"), id="strong encryption"),
        pytest.param(ZIP.replace("한".encode(), b"\xff\xfe\xfd"), id="a name that is no UTF-8"),
        pytest.param(replaced(DIRECTORY + 42, b"\xff\xff\xff\x7f"), id="a member behind the end"),
        pytest.param(replaced(END + 16, b"\xff\xff\xff\x7f"), id="members before the beginning"),
        pytest.param(replaced(END + 12, b"\xff\xff\xff\x7f"), id="a directory longer than the file"),
    ],
)
def test_a_zip_that_lies_is_told(tmp_path: Path, data: bytes):
    _, reasons = read(tmp_path, "a.zip", data)
    assert "file_breaks_off" in reasons


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
        {"GNU.sparse.map": "x,y"},
        {"GNU.sparse.size": "x"},
        {"GNU.sparse.realsize": "x"},
        {"size": "99999999999999999999"},  # to skip it is 10^16 reads of nothing
    ],
    ids=str,
)
def test_a_tar_whose_numbers_are_none_is_told(tmp_path: Path, headers: dict[str, str]):
    _, reasons = read(tmp_path, "a.tar", tarred({"a.jsonl": LINES, "b.jsonl": LINES}, headers))
    assert "file_breaks_off" in reasons


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_description_in_a_tar_is_bounded(tmp_path: Path, kind: bytes):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, _LONGEST_HEADER + 512
    data = info.tobuf(tarfile.GNU_FORMAT) + b"a" * info.size + tarred({"a.jsonl": LINES})
    assert read(tmp_path, "a.tgz", gzip.compress(data)) == (0, ["file_breaks_off"])


@pytest.mark.parametrize(
    ("is_bytes", "far"),
    [(False, (0, 1 << 30, 4, 6, 8, 10)), (True, [(3 << 29) + 64 * n for n in range(6)])],
    ids=["text", "bytes"],
)
def test_offsets_in_an_arrow_file_lead_nowhere_else(tmp_path: Path, is_bytes: bool, far: Iterable[int]):
    """pyarrow follows them without looking, and the process dies."""
    kinds = {"a.arrow": pyarrow.ipc.new_stream, "b.arrow": pyarrow.ipc.new_file}
    offsets = struct.pack("<6i", *(sum(len(row["id"]) for row in ROWS[:n]) for n in range(6)))
    for name, kind in kinds.items():
        sound = arrow(kind, [{"id": row["id"].encode(), "text": row["text"]} for row in ROWS] if is_bytes else ROWS)
        assert sound.count(offsets) == 1
        spoilt = sound.replace(offsets, struct.pack("<6i", *far))
        assert read(tmp_path, name, spoilt) == (0, ["file_breaks_off"])
        (tmp_path / name).unlink()


def test_a_member_with_a_name_that_no_disk_takes_is_told_by_its_beginning(tmp_path: Path):
    documents, reasons = read(tmp_path, "a.zip", zipped({"x" * 300 + ".jsonl": LINES, "./b//c.jsonl": LINES}))
    assert documents == len(ROWS) and reasons == ["unsafe_name"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", b"[" * 100_000),
        ("a.json", b'{"a":' * 50_000 + b"\n"),
        ("a.jsonl", b'{"text": ' + b"9" * 5000 + b"}\n"),
        ("a.json", b'[{"text": ' + b"9" * 5000 + b"}]"),
        ("a.csv", b"\0,\0\n\0"),
        ("a.csv", b"a" + b"," * 100_000 + b"\n1"),
        ("a.html", b"<div>" * 5000),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else value,
)
def test_texts_that_break_parsers_are_excluded(tmp_path: Path, name: str, data: bytes):
    documents, reasons = read(tmp_path, name, data)
    assert documents == 0 and reasons


@pytest.mark.parametrize("text", ["우리는 강가를 걸으며 새를 보았습니다.", ""])
def test_what_a_row_says_of_itself_is_bounded(tmp_path: Path, text: str) -> None:
    """It stands in the manifest, which goes into Dagster's event log."""
    row = {"text": text, **dict.fromkeys(("source", "licence", "url", "id"), "가" * 300_000)}
    (tmp_path / "a.jsonl").write_text(json.dumps(row, ensure_ascii=False))
    (part,) = [parse(block, FieldSettings()) for block in read_blocks(files_below(tmp_path))]
    notes = [getattr(one, name) for one in part.documents for name in ("source", "licence", "url", "id")]
    notes += [getattr(one, name) for one in part.exclusions for name in ("id", "file", "reason", "detail")]
    assert len(notes) == 4 and max(map(len, notes)) <= 1000
