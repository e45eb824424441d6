"""Locks between processes: a killed holder's is free, a child's is not, and nobody waits who did not want to."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import Timeout

from trainers.contract.locks import is_held, locked

_HOLD = """
import subprocess, sys
from pathlib import Path
from trainers.contract.locks import locked
with locked(Path(sys.argv[1])) as descriptor:
    if sys.argv[2:] == ["with a child"]:
        child = subprocess.Popen(["sleep", "600"], pass_fds=(descriptor,), stdout=subprocess.DEVNULL)
        print(child.pid, flush=True)
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", _HOLD, str(path), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert not is_held(path) and not path.exists(), "to ask makes no file"
    with holder(path) as process:
        assert line_of(process) == "held"
        assert is_held(path)
        with pytest.raises(Timeout), locked(path, wait=False):
            pytest.fail("held twice")
        process.kill()
        process.wait()
        assert not is_held(path)
        with locked(path, wait=False):
            assert is_held(path)
    assert path.exists(), "a lock file stays: whoever waits for it must wait for the same one"


def test_a_child_that_inherited_it_keeps_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with holder(path, "with a child") as process:
        child = int(line_of(process))
        try:
            assert line_of(process) == "held"
            process.kill()
            process.wait()
            assert is_held(path)
        finally:
            os.kill(child, signal.SIGKILL)
        with locked(path):  # waits until the kernel has buried the child
            pass


def test_who_waits_gets_it_when_the_holder_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    order = []

    def second() -> None:
        with locked(path):
            order.append("second")

    with locked(path):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_it_is_the_kernels_flock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with path.open("a") as plain:
        fcntl.flock(plain, fcntl.LOCK_EX)
        assert is_held(path)


def test_a_filesystem_without_flock_is_an_error_and_no_marker_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(descriptor: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    with pytest.raises(OSError, match="not implemented"), locked(tmp_path / "a.lock"):
        pytest.fail("held by a marker")


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with pytest.raises(TimeoutError, match="of the work"), locked(path):
        raise TimeoutError("of the work")
    assert not is_held(path)
