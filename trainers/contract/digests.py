"""Digests: of values, files and folders."""

import hashlib
import json
from pathlib import Path
from typing import Any

READY_MARKER = "_READY"
"""The file that says that a landed folder is complete; it is not content."""


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_of(value: Any) -> str:
    """Hex sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree_digest(folder: Path) -> str:
    """Content digest of a folder: relative names and bytes of its files; not times, not markers, not hidden files."""
    files = {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != READY_MARKER and not path.name.startswith(".")
    }
    return sha256_of(files)
