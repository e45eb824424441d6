"""Environments of their own that also see ours: for packages whose pins cannot all be ours."""

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

_SECONDS = 900


def own_environment(name: str, fill: Callable[[Path], None]) -> Path:
    """The interpreter of the environment of this name, outside the repository. Where it is not there it is made, and
    `fill` gets its interpreter and installs what it is for."""
    folder = Path.home() / ".cache" / "korean-llm" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    with FileLock(f"{folder}.lock"):
        if not (folder / "ready").is_file():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=_SECONDS)
            (packages_of(python) / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
            fill(python)
            (folder / "ready").touch()
    return python


def packages_of(python: Path) -> Path:
    """Where an environment's own packages lie."""
    (packages,) = (python.parents[1] / "lib").glob("python3*/site-packages")
    return packages


def install(python: Path, *packages: str) -> None:
    """Install packages without what they ask for; skips the test, with the reason, if it cannot."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", *packages]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode:
        pytest.skip(f"`pip install --no-deps {packages[0]} ...` failed: {done.stderr[-300:]}")
