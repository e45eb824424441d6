"""Digests: of values, files and folders."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainers.contract.walk import walk


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


def tree_digest(folder: Path, digest_of: Callable[[Path], str] = file_sha256) -> str:
    """Content digest of a folder: names and bytes of what `walk` finds there, and what it refuses; not times.

    Args:
        digest_of: gives the digest of a file, for a caller that may know it without reading.
    """
    there = walk(folder)
    refused = {name: refusal.reason for name, refusal in there.refused.items()}
    return sha256_of({name: digest_of(path) for name, path in there.files.items()} | refused)


def tree_stamps(folder: Path) -> dict[str, list[int]]:
    """What changes whenever a file of a folder does, without reading it; a file that goes meanwhile has no stamp."""
    return {name: stamp(path) for name, path in walk(folder).files.items() if path.exists()}


def stamp(path: Path) -> list[int]:
    """Size, times and inode of a file. The changed time is the kernel's own: no tool sets it back."""
    entry = path.stat()
    return [entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns, entry.st_ino]
