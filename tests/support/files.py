"""Files as bytes, made without a disk: archives, a table, a workbook."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import openpyxl
import pyarrow
import pyarrow.parquet


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    target = io.BytesIO()
    write(target)
    return target.getvalue()


def zipped(members: Mapping[Any, bytes | str]) -> bytes:
    """A .zip; a member's key is its name, or its whole entry."""

    def write(target: io.BytesIO) -> None:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)

    return written(write)


def tarred(members: dict[str, bytes], headers: dict[str, str] | None = None) -> bytes:
    def write(target: io.BytesIO) -> None:
        with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size, info.pax_headers = len(data), headers or {}
                archive.addfile(info, io.BytesIO(data))

    return written(write)


def parquet(rows: list[dict[str, Any]]) -> bytes:
    return written(lambda target: pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), target))


def workbook(*rows: Sequence[Any]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    return written(book.save)
