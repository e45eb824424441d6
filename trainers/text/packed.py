"""The files of a drop with those inside its archives: their names, and each as a file that has a path."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from trainers.contract import BadData
from trainers.contract.names import inside
from trainers.contract.walk import Refusal, Walk
from trainers.text.archives import Member, members_of
from trainers.text.unpack import DAMAGE, Packed, UnpacksTooFar


def names_in(drop: Walk) -> list[str]:
    """Names of a drop's files and of what its archives hold (not of archives in those)."""
    return [*drop.files, *(name for name, _ in _members(drop))]


@contextmanager
def opened(drop: Walk, is_wanted: Callable[[str], bool]) -> Iterator[dict[str, Path]]:
    """Path of each file and member of an archive whose name is wanted; members lie in a folder that is thrown away.

    Raises:
        BadData: a wanted member cannot be read; names it and says why.
    """
    with TemporaryDirectory() as place:
        files = {name: path for name, path in drop.files.items() if is_wanted(name)}
        for name, member in _members(drop):
            if is_wanted(name):
                files[name] = inside(Path(place), name)
                _unpack(name, member, files[name])
        yield files


def _members(drop: Walk) -> Iterator[Member]:
    for name, path in drop.files.items():
        yield from members_of(Packed.file(name, path)) or ()


def _unpack(name: str, member: Packed | Refusal, path: Path) -> None:
    if isinstance(member, Refusal):
        raise BadData(f"{name}: {member.reason}: {member.detail}; unpack it yourself, or leave it out")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with member.open() as stream, path.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
    except (UnpacksTooFar, *DAMAGE) as error:
        raise BadData(f"{name} cannot be unpacked: {error}") from error
