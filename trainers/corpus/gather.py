"""A person's own inputs as one landed folder: files appear there by hard links or as copies, globs expanded.

A bucket is any URL that fsspec knows (`s3://bucket/drops/*.jsonl`). Credentials come from the environment that the
file system's own library reads (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...), never from the URL.
"""

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from shutil import copyfile

from trainers.contract import BadRequest, ServiceMissing
from trainers.contract.names import checked
from trainers.text.read import files_below

_WILD = re.compile(r"[*?\[]")
RemoteFiles = Iterator[tuple[str, Callable[[Path], None]]]
"""Name of each file below its input, and what puts the file at a path."""


def gather(inputs: Sequence[str], folder: Path) -> None:
    """Fill a new folder with all files of the inputs; where there are several, a folder's name stays in the names.

    Raises:
        BadRequest: an input is missing, or two files have one name.
        UnsafeName: a bucket's key cannot be a file's name.
        ServiceMissing: a bucket cannot be read.
    """
    folder.mkdir(parents=True)
    for source in inputs:
        for name, put in _remote(source, len(inputs) > 1) if "://" in source else _local(source, len(inputs) > 1):
            place = folder / name
            if place.exists():
                raise BadRequest(f"two inputs are called {name}; rename one, or give their folder")
            place.parent.mkdir(parents=True, exist_ok=True)
            put(place)


def local_paths(inputs: Sequence[str]) -> list[Path]:
    """The inputs that lie on this machine: a folder as itself, of a glob its files."""
    return [path for source in inputs if "://" not in source for path in _paths(source)]


def _paths(source: str) -> list[Path]:
    path = Path(source)
    if path.exists() or not _WILD.search(source):
        return [path] if path.exists() else []
    return [file for file in map(Path, sorted(glob.glob(source, recursive=True))) if file.is_file()]


def _local(source: str, is_one_of_several: bool) -> RemoteFiles:
    path = Path(source)
    if path.exists():
        beside = f"{path.name}/" if path.is_dir() and is_one_of_several else ""
        there = files_below(path)
        if there.refused:
            name, refusal = next(iter(there.refused.items()))
            raise BadRequest(f"--input {source}: {name} is not opened ({refusal.reason}): {refusal.detail}")
        files = {f"{beside}{name}": file for name, file in there.files.items()}
    else:
        files = {file.relative_to(_base(source)).as_posix(): file for file in _paths(source)}
    if not files and not path.exists():
        raise BadRequest(f"--input {source}: there is no such file or folder")
    for name, file in files.items():
        yield name, partial(_put, file)


def _put(file: Path, place: Path) -> None:
    """No symbolic link: a drop's walk follows none that leaves it."""
    try:
        os.link(file.resolve(), place)
    except OSError:  # another disk, or another user's file
        copyfile(file, place)


def _remote(source: str, is_one_of_several: bool) -> RemoteFiles:
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(source, skip_instance_cache=True, use_listings_cache=False)
        entries = files.glob(path) if _WILD.search(path) else files.find(path)
        entries = [entry for entry in entries if not files.isdir(entry)]
    except Exception as error:
        raise ServiceMissing(f"--input {source} cannot be read: {type(error).__name__}: {error}") from error
    if not entries:
        raise BadRequest(f"--input {source}: there is no such file or folder")
    whole = PurePosixPath(files._strip_protocol(path))
    base = _base(str(whole))
    if not _WILD.search(path) and not is_one_of_several and entries != [str(whole)]:
        base = whole
    for entry in sorted(entries):
        name = entry.removeprefix(f"{base}/")  # as it stands there: a path would lose its doubled slashes
        yield checked(name), partial(files.get_file, entry)


def _base(source: str) -> PurePosixPath:
    """The folder that names are given below: the last one before a wildcard, or that of the file."""
    parts = PurePosixPath(source).parts
    wild = next((number for number, part in enumerate(parts) if _WILD.search(part)), len(parts) - 1)
    return PurePosixPath(*parts[:wild])
