"""Files and folders that appear whole or not at all, whoever else makes the same ones at the same time."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from trainers.contract.files import fsync_folder


@contextmanager
def published_folder(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which becomes `folder`; one that is there already stays, as it holds the same."""
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    aside.mkdir(parents=True)
    try:
        yield aside
        fsync_folder(aside)
        if not folder.exists():
            aside.rename(folder)
            fsync_folder(folder.parent)
    except OSError:
        if not folder.exists():  # else another node was sooner, and this one's is not needed
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def published_file(path: Path, aside: Path | None = None) -> Iterator[BinaryIO]:
    """A new file to write, which becomes `path`.

    Args:
        aside: a folder of the same volume for what is not whole yet; `path`'s own where there is none.
    """
    place = (aside or path.parent) / f".{path.name}.{uuid.uuid4().hex}"
    place.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with place.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        place.rename(path)
    finally:
        place.unlink(missing_ok=True)
