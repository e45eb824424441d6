"""Writing to a disk that may be full, slow or cut off: atomically, durably, and with its errors in words."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainers.contract.exits import DiskTrouble

_DISK_TROUBLE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EPERM, errno.EACCES),
    *(errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.EREMOTEIO, errno.EHOSTDOWN),
}
"""Full, failing and read-only volumes, and what a network's say when their server is gone or forgot us."""


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


def is_disk_trouble(error: OSError) -> bool:
    """Whether an error is the volume's own: full, failing, read-only, or gone."""
    return error.errno in _DISK_TROUBLE


@contextmanager
def disk_errors_named(doing: str, *roots: Path) -> Iterator[None]:
    """Turn a full or failing disk into a DiskTrouble that says what was being done.

    Args:
        roots: folders of which whatever is missed is the volume's fault, once they are gone themselves.
    """
    try:
        yield
    except OSError as error:
        gone = [root for root in roots if not root.exists()]
        if gone or is_disk_trouble(error):
            where = f" ({error.filename})" if error.filename else ""
            why = f"{gone[0]} is gone" if gone else error.strerror
            raise DiskTrouble(
                f"{doing}: {why}{where}. Free space or repair the volume, then run again; finished work is kept."
            ) from error
        raise
