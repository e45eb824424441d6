"""Names that come from outside: where one becomes a path it is checked here, and where it is shown it is made plain."""

import unicodedata
from pathlib import Path

from trainers.contract.exits import BadData

LONGEST_PART = 255
"""Bytes of one part of a path, as every usual file system takes it."""
_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories of what steers a terminal or a line and is no text: controls, marks of direction, line ends,
halves of surrogates."""


class UnsafeName(BadData):
    """A name that must not become a path (exit 65)."""


def checked(name: str) -> str:
    """The name, where each of its parts (there are slashes between) may be one of a relative path.

    Raises:
        UnsafeName: a part is empty, hidden, `.` or `..`, longer than 255 bytes, no Unicode text, or has control
            characters; says which.
    """
    for part in name.split("/"):
        if problem := _problem(part):
            raise UnsafeName(f"'{shown(name)}' is no name for a file or folder: {problem}. Rename it")
    return name


def inside(root: Path, name: str) -> Path:
    """The path of a checked name below a root, which no link on the way leaves.

    Raises:
        UnsafeName: as above, or a link leads out of the root.
    """
    path = root / checked(name)
    if not path.resolve().is_relative_to(root.resolve()):
        raise UnsafeName(f"'{shown(name)}' leads out of {root} by a link; put the files themselves there")
    return path


def shown(name: object) -> str:
    """Any text on one line, for messages and logs: what steers a line or a terminal is written as escapes."""
    return "".join(one.encode("unicode_escape").decode() if _steers(one) else one for one in str(name))


def _steers(character: str) -> bool:
    return unicodedata.category(character) in _STEERING


def _problem(part: str) -> str | None:
    if part in ("", ".", ".."):
        return f"a part of it is {part!r}" if part else "a part of it is empty"
    if part.startswith("."):
        return "a part of it is hidden (begins with a dot)"
    try:
        size = len(part.encode())
    except UnicodeEncodeError:
        return "it is not written in UTF-8"
    if size > LONGEST_PART:
        return f"a part of it has {size} bytes, at most {LONGEST_PART} are allowed"
    return "it has control characters" if any(map(_steers, part)) else None
