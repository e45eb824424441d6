"""File locks: one process at a time, and whether one is at work; a killed holder's lock is free at once.

The lock is the kernel's flock: it belongs to the open file, so it ends with the last process that has it open, however
that one ends. On NFS, Linux makes it a lock of the server's (NFSv4; NFSv3 with lockd), which holds between machines;
the server frees a lost client's when its lease ends, after about 90 seconds. A mount with `nolock` or
`local_lock=flock` holds on one machine only. A filesystem without flock is an error, never a marker file that outlives
its maker.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout, UnixFileLock


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[int]:
    """Hold the lock of a file, which is made where it is missing.

    Args:
        path: of the file; its folder exists.
        wait: for whoever holds it, in small steps, so that an interrupt is heard.

    Yields:
        The open file's descriptor. A child process that inherits it keeps the lock if this process is killed; the
        end of the context frees it for all of them.

    Raises:
        filelock.Timeout: somebody holds it, and `wait` is false.
    """
    descriptors: list[int] = []
    lock = UnixFileLock(path, thread_local=False, fallback_to_soft=False, on_acquired=descriptors.append)
    with lock.acquire(blocking=wait):
        yield descriptors[0]


def is_held(path: Path) -> bool:
    """True while a process holds the lock of a file; a file that is not there is held by nobody."""
    if not path.exists():
        return False
    try:
        with locked(path, wait=False):
            return False
    except Timeout:
        return True
