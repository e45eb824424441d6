"""Writing to a disk that may be full, slow or cut off: atomically, durably, and with its errors in words."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainers.contract.exits import DiskTrouble


def fsync_folder(folder: Path) -> None:
    """Make renames and new names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that it has its old or its new content, never half of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.rename(path)
    fsync_folder(path.parent)


@contextmanager
def disk_errors_named(doing: str) -> Iterator[None]:
    """Turn a full or failing disk into a DiskTrouble that says what was being done."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
            where = f" ({error.filename})" if error.filename else ""
            raise DiskTrouble(
                f"{doing}: {error.strerror}{where}. Free space or repair the volume, then run again; "
                "finished work is kept."
            ) from error
        raise
