"""Landing areas elsewhere: releases in buckets (or any fsspec URL) are copied into the local landing root.

KOREAN_LLM_LANDING_URLS names them, separated by spaces: `s3://bucket/drops`. Credentials come from the environment
that the file system's own library reads (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...), never from a URL.

A copy carries the mark of the place that it came from, and replaces only what carries the same one.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.contract import BadData, ServiceMissing, settings, sha256_of
from trainers.contract.files import write_atomically
from trainers.contract.locks import locked
from trainers.contract.names import checked, inside, shown
from trainers.contract.redaction import redacted
from trainers.contract.walk import READY_MARKER

_VARIABLE = settings.LANDING_URLS.name
_STATE = ".mirrored.json"
_ORIGIN = ".mirrored-from"
"""File in a copy that names the place it came from. A key of this name is hidden, and so is never copied."""


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


@dataclass(frozen=True)
class Waiting:
    """A complete release of a source that is not here yet, or was changed there since."""

    url: str
    name: str
    signature: str


@dataclass(frozen=True)
class Elsewhere:
    """What there is to say of the sources: what waits, which releases are refused and why, and what cannot be read."""

    waiting: list[Waiting]
    refused: dict[str, str]
    unreachable: list[str]


def look_elsewhere(landing: Path) -> Elsewhere:
    """What is to be copied of all sources. Only lists; nothing is downloaded, and no release stops another."""
    looked = Elsewhere([], {}, [])
    copied = _copied(landing)
    for url in source_urls():
        try:
            _, listing = _listing(url)
        except ServiceMissing as error:
            looked.unreachable.append(str(error))
            continue
        for name, entries in listing.items():
            place, signature = _place(url, name), _signature(entries)
            if copied.get(place) == signature or not _is_complete(entries):
                continue
            try:
                _content(entries), _target(landing, name, place)
                looked.waiting.append(Waiting(redacted(url), name, signature))
            except BadData as error:
                looked.refused[place] = str(error)
    return looked


def copy_release(landing: Path, url: str, name: str) -> None:
    """Copy a release of a source into the landing root. It appears whole or not at all; one process at a time.

    Args:
        url: of the source, redacted: it stands in the run's configuration.

    Raises:
        ServiceMissing: the source cannot be read, or the release is gone from it.
        BadData: a name in it cannot be a file's, or a release of that name lies there which came from elsewhere.
    """
    files, listing = _listing(next((source for source in source_urls() if redacted(source) == url), url))
    place = _place(url, name)
    if name not in listing:
        raise ServiceMissing(f"{_VARIABLE}: {place} is not there any more")
    with locked(landing / ".mirrored.lock"):
        copied, signature = _copied(landing), _signature(listing[name])
        if copied.get(place) == signature:
            return
        _copy(files, _content(listing[name]), _target(landing, name, place), place, signature)
        write_atomically(landing / _STATE, json.dumps({**copied, place: signature}, ensure_ascii=False))


def _place(url: str, name: str) -> str:
    """A release of a source, as it is told; no secret is in it."""
    return f"{redacted(url)}/{shown(name)}"


def _copied(landing: Path) -> dict[str, str]:
    """URL of a release -> what it looked like when it was copied."""
    path = landing / _STATE
    state: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return state


def _signature(entries: dict[str, Any]) -> str:
    return sha256_of({shown(path): [entry["size"], _stamp(entry)] for path, entry in entries.items()})


def _listing(url: str) -> tuple[Any, dict[str, dict[str, Any]]]:
    """The file system, and release -> path below it -> entry."""
    import fsspec

    where = redacted(url)
    try:
        files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
        entries = files.find(root, detail=True)
        if not entries:
            files.ls(root)  # raises, unlike `exists`, which takes refused credentials for an empty place
    except FileNotFoundError as error:
        raise ServiceMissing(f"{_VARIABLE}: {where} does not exist; create it or correct the variable") from error
    except PermissionError as error:
        raise ServiceMissing(
            f"{_VARIABLE}: {where} refuses the credentials ({error}); check AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or whatever this file system reads, and what they may list"
        ) from error
    except Exception as error:
        reason = str(error).replace(url, where)
        raise ServiceMissing(f"{_VARIABLE}: {where} cannot be read: {type(error).__name__}: {reason}") from error
    listing: dict[str, dict[str, Any]] = {}
    for path, entry in entries.items():
        name, _, rest = path.removeprefix(root.rstrip("/") + "/").partition("/")
        if rest and not path.endswith("/") and not _is_hidden(name):  # a key that ends in a slash stands for a folder
            listing.setdefault(name, {})[rest] = entry
    return files, listing


def _is_hidden(part: str) -> bool:
    return part.startswith(".") and part not in (".", "..")


def _stamp(entry: dict[str, Any]) -> str:
    return str(entry.get("ETag") or entry.get("mtime") or entry.get("LastModified") or "")


def _is_complete(entries: dict[str, Any]) -> bool:
    """By its marker, or when nothing was written for the quiet time."""
    if READY_MARKER in entries:
        return True
    times = [entry["LastModified"].timestamp() for entry in entries.values() if entry.get("LastModified")]
    return bool(times) and time.time() - max(times) >= settings.QUIET_SECONDS.get()


def _content(entries: dict[str, Any]) -> dict[str, Any]:
    """What of a release is copied: nothing hidden.

    Raises:
        BadData: a key cannot be a file's name, or one key is the folder of another.
    """
    content = {path: entry for path, entry in entries.items() if not any(map(_is_hidden, path.split("/")))}
    for path in content:
        checked(path)
        if folder := next((each for each in _folders(path) if each in content), None):
            raise BadData(f"'{shown(folder)}' is a file and the folder of '{shown(path)}'; rename one of them")
    return content


def _folders(path: str) -> Iterator[str]:
    parts = path.split("/")
    yield from ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def _target(landing: Path, name: str, place: str) -> Path:
    """Where a release is copied to.

    Raises:
        BadData: its name cannot be a folder's, or what lies there did not come from this place.
    """
    target = inside(landing, name)
    origin = target / _ORIGIN
    if target.exists() and not (origin.is_file() and origin.read_text(encoding="utf-8") == place):
        raise BadData(f"a release '{name}' lies in {landing} that did not come from here; rename one of them")
    return target


def _copy(files: Any, entries: dict[str, Any], target: Path, place: str, signature: str) -> None:
    """Copy a release. One that was interrupted goes on with the files that it lacks."""
    begin = f".incoming-{hashlib.sha256(place.encode()).hexdigest()[:16]}"
    aside, part = (target.with_name(f"{begin}-{name}") for name in (signature[:16], "part"))
    replaced = target.with_name(f"{begin}-replaced")
    for outdated in set(target.parent.glob(f"{begin}-*")) - {aside, part}:
        shutil.rmtree(outdated)
    for below, entry in entries.items():
        if not (aside / below).exists():
            (aside / below).parent.mkdir(parents=True, exist_ok=True)
            files.get_file(entry["name"], str(part))
            part.rename(aside / below)
    write_atomically(aside / _ORIGIN, place)
    if target.exists():
        target.rename(replaced)
        aside.rename(target)
        shutil.rmtree(replaced)
    else:
        aside.rename(target)
