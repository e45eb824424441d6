"""The landing area: which releases lie there, when they are complete, and what they inherit."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from korean_llm_assets.landing.file_digests import FileDigests
from korean_llm_assets.partitions.keys import release_key
from trainers.contract import STAGES, BadData, Input, settings, sha256_of
from trainers.contract.digests import tree_digest
from trainers.contract.names import inside, shown
from trainers.contract.walk import READY_MARKER, WAIT_MARKER, walk

KINDS = tuple(stage.asset for stage in STAGES.values() if not stage.by_model)
"""Folders of a release, each named after the asset that is made of it."""
_DEEPEST = 3


class Landing:
    """Releases below one root folder: `<root>/<release>/{corpus,instructions,preferences,benchmarks}/`."""

    def __init__(self, root: Path):
        self.root = root

    def releases(self) -> dict[str, str]:
        """Partition key -> the folder's name below the root (which may have slashes), sorted by name."""
        return {release_key(name): name for name in sorted(self._names(self.root, 1))}

    def _names(self, folder: Path, depth: int) -> Iterator[str]:
        for entry in os.scandir(folder) if folder.is_dir() else ():
            if not entry.is_dir() or entry.name.startswith("."):
                continue
            path = Path(entry.path)
            name = path.relative_to(self.root).as_posix()
            try:
                if (path / READY_MARKER).exists() or any((path / kind).is_dir() for kind in KINDS):
                    yield name
                elif depth < _DEEPEST:
                    yield from [*self._names(path, depth + 1)]
            except PermissionError:
                yield name  # whoever looks into it says so

    def incompleteness(self, name: str, quiet_seconds: float | None = None) -> str:
        """What a folder waits for before it is taken for a whole release, in words; empty where it is complete.

        That is once the folder says so with its marker, or nothing in it has changed for the quiet time.

        Raises:
            BadData: the release cannot be read; says why. So do the methods below.
        """
        with _in_words(name):
            if (inside(self.root, name) / READY_MARKER).exists():
                return ""
            if (inside(self.root, name) / WAIT_MARKER).exists():
                return f"waits for {READY_MARKER}: whoever laid it down wants to be asked ({WAIT_MARKER})"
            quiet = quiet_seconds if quiet_seconds is not None else settings.QUIET_SECONDS.get()
            # An uploader sets the time of modification as he likes, but not this one.
            changed = [path.stat().st_ctime for path in self._files(name)]
            age = time.time() - max(changed, default=0.0)
            if not changed:
                return "nothing is in it"
            if not -quiet < age < quiet:  # far in the future: the clock was set back
                return ""
            return f"waits for {READY_MARKER}, or until nothing has changed in it for {quiet - age:.0f} s more"

    def incomplete(self) -> dict[str, str]:
        """Folders that are no releases yet: name -> what each waits for, in words."""
        waiting = {}
        for name in self.releases().values():
            try:
                words = self.incompleteness(name)
            except (BadData, FileNotFoundError):
                continue  # its run says what is wrong with it, or it went away as we looked
            if words:
                waiting[name] = words
        return waiting

    def signature(self, name: str) -> str:
        """What the folder looks like without reading it: names, sizes, times."""
        with _in_words(name):
            entries = {shown(path): [path.stat().st_size, path.stat().st_mtime_ns] for path in self._files(name)}
            return sha256_of(entries)

    def _files(self, name: str) -> list[Path]:
        return list(walk(self.root / name).files.values())

    def unread_bytes(self, name: str) -> int:
        """How much `digest` would read: what nobody has read since it was written."""
        with _in_words(name):
            digests, content = self._file_digests(name), {self.root / name / kind for kind in KINDS}
            return sum(digests.unread_bytes(path) for path in self._files(name) if not content.isdisjoint(path.parents))

    def digest(self, name: str) -> str:
        """Content digest of a whole release: the same bytes under another folder name give the same."""
        return sha256_of(self.digests(name))

    def digests(self, name: str) -> dict[str, str]:
        """Content digest of each folder of a release, by its kind."""
        with self._reading(name) as digests:
            folders = {kind: inside(self.root, f"{name}/{kind}") for kind in KINDS if self._has(name, kind)}
            return {kind: tree_digest(folder, digests.sha256) for kind, folder in folders.items()}

    @contextmanager
    def _reading(self, name: str) -> Iterator[FileDigests]:
        digests = self._file_digests(name)
        try:
            with _in_words(name):
                yield digests
        finally:
            digests.save()

    def _file_digests(self, name: str) -> FileDigests:
        return FileDigests(self.root / ".digests" / f"{release_key(name)}.json", self.root / name)

    def input(self, release: str, kind: str, earlier: Sequence[str]) -> Input:
        """What the data stage `kind` of a release reads: its own folder, or the newest earlier release's.

        Args:
            release: partition key.
            kind: one of KINDS.
            earlier: partition keys registered before this release, oldest first.

        Raises:
            BadData: neither the release nor an earlier one has such a folder with files in it, or it cannot be read.
        """
        names = self.releases()
        candidates = [release] if kind == "corpus" else [release, *reversed(earlier)]
        for key in candidates:
            if key in names and self._has(names[key], kind):
                path = f"{names[key]}/{kind}"
                with self._reading(names[key]) as digests:
                    digest = tree_digest(inside(self.root, path), digests.sha256)
                inherited_from = None if key == release else key
                return Input(name="landing", root="landing", path=path, digest=digest, inherited_from=inherited_from)
        where = self.root / names.get(release, release) / kind
        problem = f"there is no folder {where}, or nothing is in it"
        inherited = f", and none of the earlier releases ({', '.join(earlier) or 'none'}) has one"
        raise BadData(
            f"release {release!r}: {problem}{inherited if kind != 'corpus' else ''}. "
            f"Put files there (formats: trainers/README.md, 'Data formats') and materialize {kind} again."
        )

    def _has(self, name: str, kind: str) -> bool:
        with _in_words(name):
            there = walk(self.root / name / kind)
            return bool(there.files or there.refused)


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Turn what the system says of a release that cannot be read into BadData; FileNotFoundError stays: it is gone."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        file = f" ({shown(error.filename)})" if error.filename else ""
        raise BadData(
            f"release '{shown(name)}' cannot be read: {error.strerror}{file}; correct it and upload it again"
        ) from error
