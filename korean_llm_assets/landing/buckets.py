"""Landing areas elsewhere: releases in buckets (or any fsspec URL) are copied into the local landing root.

KOREAN_LLM_LANDING_URLS names them, separated by spaces: `s3://bucket/drops`. Credentials come from the environment
that the file system's own library reads (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...), never from a URL.
"""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainers.contract import ServiceMissing, settings, sha256_of
from trainers.contract.digests import READY_MARKER
from trainers.contract.files import write_atomically

_VARIABLE = settings.LANDING_URLS.name
_STATE = ".mirrored.json"


def source_urls() -> tuple[str, ...]:
    """The configured landing URLs."""
    return settings.LANDING_URLS.get()


def check_sources() -> None:
    """Look at every source once, so that a wrong URL or refused credentials are told at the start.

    Raises:
        ServiceMissing: naming the URL and what it answered.
    """
    for url in source_urls():
        _listing(url)


def mirror_sources(landing: Path) -> list[str]:
    """Copy complete releases that are new or changed; returns their names. A copy appears whole or not at all.

    Raises:
        ServiceMissing: a source cannot be read; the others were mirrored all the same.
    """
    copied: list[str] = []
    troubles: list[str] = []
    for url in source_urls():
        try:
            copied += _mirror(url, landing)
        except ServiceMissing as error:
            troubles.append(str(error))
    if troubles:
        raise ServiceMissing("; ".join(troubles))
    return copied


def _mirror(url: str, landing: Path) -> Iterator[str]:
    files, listing = _listing(url)
    state_path = landing / _STATE
    state: dict[str, str] = json.loads(state_path.read_text()) if state_path.exists() else {}
    for name, entries in listing.items():
        signature = sha256_of({path: [entry["size"], _stamp(entry)] for path, entry in entries.items()})
        place = f"{url}/{name}"
        if state.get(place) == signature or not _is_complete(entries):
            continue
        _copy(files, entries, landing / name)
        state[place] = signature
        write_atomically(state_path, json.dumps(state, ensure_ascii=False))
        yield name


def _listing(url: str) -> tuple[Any, dict[str, dict[str, Any]]]:
    """The file system, and release -> path below it -> entry."""
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
        entries = files.find(root, detail=True)
        if not entries:
            files.ls(root)  # raises, unlike `exists`, which takes refused credentials for an empty place
    except FileNotFoundError as error:
        raise ServiceMissing(f"{_VARIABLE}: {url} does not exist; create it or correct the variable") from error
    except PermissionError as error:
        raise ServiceMissing(
            f"{_VARIABLE}: {url} refuses the credentials ({error}); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or whatever this file system reads, and what they may list"
        ) from error
    except Exception as error:
        raise ServiceMissing(f"{_VARIABLE}: {url} cannot be read: {type(error).__name__}: {error}") from error
    listing: dict[str, dict[str, Any]] = {}
    for path, entry in entries.items():
        below = path.removeprefix(root.rstrip("/") + "/")
        name, _, rest = below.partition("/")
        if rest and ".." not in below.split("/"):
            listing.setdefault(name, {})[rest] = entry
    return files, listing


def _stamp(entry: dict[str, Any]) -> str:
    return str(entry.get("ETag") or entry.get("mtime") or entry.get("LastModified") or "")


def _is_complete(entries: dict[str, Any]) -> bool:
    """By its marker, or when nothing was written for the quiet time."""
    if READY_MARKER in entries:
        return True
    times = [entry["LastModified"].timestamp() for entry in entries.values() if entry.get("LastModified")]
    return bool(times) and time.time() - max(times) >= settings.QUIET_SECONDS.get()


def _copy(files: Any, entries: dict[str, Any], target: Path) -> None:
    aside = target.with_name(f".incoming-{target.name}")
    shutil.rmtree(aside, ignore_errors=True)
    for below, entry in entries.items():
        (aside / below).parent.mkdir(parents=True, exist_ok=True)
        files.get_file(entry["name"], str(aside / below))
    if target.exists():
        replaced = target.with_name(f".replaced-{target.name}")
        shutil.rmtree(replaced, ignore_errors=True)
        target.rename(replaced)
        aside.rename(target)
        shutil.rmtree(replaced)
    else:
        aside.rename(target)
