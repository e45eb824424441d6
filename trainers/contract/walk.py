"""The one walk over a folder that was dropped: which files are read, under which names, and what is left unopened.

Every reader, every digest and every count of a drop goes this way, so that none sees another folder than the others.
"""

import errno
import os
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trainers.contract.names import shown

READY_MARKER = "_READY"
"""The file that says that a landed folder is complete; it is not content."""
WAIT_MARKER = "_WAIT"
"""The file that says that a landed folder waits for a person's `_READY`, however quiet it is; it is not content."""
_LITTER = frozenset(
    {"__macosx", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}
    | {"$recycle.bin", "system volume information", "@eadir", "_success", READY_MARKER.lower(), WAIT_MARKER.lower()}
)
"""What macOS, Windows, network disks and Spark leave beside the files; in small letters."""
_LITTER_BEGINS = (".", "~$")
"""Hidden names (`._a.csv`, `.DS_Store`, `.git`), and what Office writes while a file is open."""
_CANNOT_BE_OPENED = {
    errno.EACCES: "no_permission",
    errno.EPERM: "no_permission",
    errno.ELOOP: "link_broken",
    errno.ENAMETOOLONG: "path_too_long",
}


class Refusal(NamedTuple):
    """Why something that lies in the folder is not opened; `size` in bytes, 0 where it has none of its own."""

    reason: str
    detail: str
    size: int = 0


@dataclass(frozen=True)
class Walk:
    """A folder's files and what is refused, each by its name: relative, with slashes, in NFC, in order."""

    files: dict[str, Path]
    refused: dict[str, Refusal]


def walk(root: Path) -> Walk:
    """Walk a folder (or a single file). Litter is skipped; links that leave the root and what is no file are refused.

    A link to a file inside the root is that file under another name. Nothing is opened.

    Raises:
        OSError: the disk's trouble, or the folder went away meanwhile.
    """
    if not root.is_dir():
        return Walk({name_of(root.name): root}, {}) if root.is_file() else Walk({}, {})
    files: dict[str, Path] = {}
    refused: dict[str, Refusal] = {}
    home = os.path.realpath(root)
    folders = [(root, "")]
    while folders:
        folder, below = folders.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            refused[below.rstrip("/")] = _cannot_be_opened(error)
            continue
        for entry in entries:
            if is_litter(entry.name):
                continue
            name, path = below + name_of(entry.name), folder / entry.name
            try:
                refusal = _refusal(entry, home)
                if refusal is None and entry.is_dir(follow_symlinks=False):
                    folders.append((path, f"{name}/"))
                    continue
            except OSError as error:
                refusal = _cannot_be_opened(error)
            if refusal is None and name in files:
                refusal = Refusal("name_twice", "two names are the same in NFC; rename one", entry.stat().st_size)
                name = f"{name} ({entry.name!a})"
            if refusal is None:
                files[name] = path
            else:
                refused[name] = refusal
    return Walk({name: files[name] for name in sorted(files)}, {name: refused[name] for name in sorted(refused)})


def is_litter(path: str) -> bool:
    """Whether a name, or a part of a relative one with slashes, is what a system left there and no data."""
    return any(part.lower() in _LITTER or part.startswith(_LITTER_BEGINS) for part in path.split("/"))


def name_of(raw: str) -> str:
    """A file's name as text that can be shown: NFC; CP949 where it is no UTF-8; the unprintable spelt out."""
    try:
        raw.encode()
    except UnicodeEncodeError:
        raw = _legacy(os.fsencode(raw))
    return shown(unicodedata.normalize("NFC", raw))


def _legacy(raw: bytes) -> str:
    """A name from before UTF-8, as old Korean systems wrote it, or its bytes spelt out."""
    try:
        return raw.decode("cp949")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace")


def _refusal(entry: os.DirEntry[str], home: str) -> Refusal | None:
    """Why an entry is not opened; None for a folder and for a file that can be."""
    if entry.is_symlink():
        target = os.path.realpath(entry.path)
        if os.path.commonpath([target, home]) != home:
            return Refusal("link_out", "a link that leaves the folder is not followed; put the file itself there")
        if not os.path.exists(target):
            return Refusal("link_broken", "a link to nothing")
        if os.path.isdir(target):
            return Refusal("link_to_folder", "what it points to is read under its own name")
    mode = entry.stat()
    if stat.S_ISDIR(mode.st_mode):
        return None
    if not stat.S_ISREG(mode.st_mode):
        return Refusal("not_a_file", "a pipe, a socket or a device")
    if not os.access(entry.path, os.R_OK):
        return Refusal("no_permission", "it may not be read by the user who runs this", mode.st_size)
    return None


def _cannot_be_opened(error: OSError) -> Refusal:
    """The refusal that an error means.

    Raises:
        OSError: it is the disk's trouble, or what was there went away.
    """
    if error.errno not in _CANNOT_BE_OPENED:
        raise error
    return Refusal(_CANNOT_BE_OPENED[error.errno], str(error.strerror))
