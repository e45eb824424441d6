"""The landing area: which releases lie there, when they are complete, and what they inherit."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from korean_llm_assets.partitions.keys import release_key
from trainers.contract import STAGES, BadData, Input, settings, sha256_of
from trainers.contract.digests import READY_MARKER, tree_digest

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
            if (path / READY_MARKER).exists() or any((path / kind).is_dir() for kind in KINDS):
                yield path.relative_to(self.root).as_posix()
            elif depth < _DEEPEST:
                yield from self._names(path, depth + 1)

    def is_complete(self, name: str, quiet_seconds: float | None = None) -> bool:
        """True once the folder says so with its marker, or nothing in it has changed for the quiet time."""
        if (self.root / name / READY_MARKER).exists():
            return True
        quiet = quiet_seconds if quiet_seconds is not None else settings.QUIET_SECONDS.get()
        changed = [max(path.stat().st_mtime, path.stat().st_ctime) for path in self._files(name)]
        return bool(changed) and time.time() - max(changed) >= quiet

    def signature(self, name: str) -> str:
        """What the folder looks like without reading it: names, sizes, times."""
        entries = {path.as_posix(): [path.stat().st_size, path.stat().st_mtime_ns] for path in self._files(name)}
        return sha256_of(entries)

    def _files(self, name: str) -> list[Path]:
        return [path for path in (self.root / name).rglob("*") if path.is_file() and not path.name.startswith(".")]

    def digest(self, name: str) -> str:
        """Content digest of a whole release: the same bytes under another folder name give the same."""
        return sha256_of({kind: tree_digest(self.root / name / kind) for kind in KINDS if self._has(name, kind)})

    def input(self, release: str, kind: str, earlier: Sequence[str]) -> Input:
        """What the data stage `kind` of a release reads: its own folder, or the newest earlier release's.

        Args:
            release: partition key.
            kind: one of KINDS.
            earlier: partition keys registered before this release, oldest first.

        Raises:
            BadData: neither the release nor an earlier one has such a folder with files in it.
        """
        names = self.releases()
        candidates = [release] if kind == "corpus" else [release, *reversed(earlier)]
        for key in candidates:
            if key in names and self._has(names[key], kind):
                path = f"{names[key]}/{kind}"
                return Input(
                    name="landing",
                    root="landing",
                    path=path,
                    digest=tree_digest(self.root / path),
                    inherited_from=None if key == release else key,
                )
        where = self.root / names.get(release, release) / kind
        problem = f"there is no folder {where}, or nothing is in it"
        inherited = f", and none of the earlier releases ({', '.join(earlier) or 'none'}) has one"
        raise BadData(
            f"release {release!r}: {problem}{inherited if kind != 'corpus' else ''}. "
            f"Put files there (formats: trainers/README.md, 'Data formats') and materialize {kind} again."
        )

    def _has(self, name: str, kind: str) -> bool:
        folder = self.root / name / kind
        return folder.is_dir() and any(path.is_file() and not path.name.startswith(".") for path in folder.rglob("*"))
