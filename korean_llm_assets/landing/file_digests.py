"""What the landed files of a release hash to: each is read once, whoever asks, and however often it is interrupted."""

import json
import time
from pathlib import Path

from trainers.contract.digests import file_sha256, stamp
from trainers.contract.files import write_atomically

_SAVE_SECONDS = 2.0
"""So much reading is done again at most after a kill, beside the file that was being read."""


class FileDigests:
    """Digests of one release's files, kept in a file beside the releases; a file that changed is read again."""

    def __init__(self, kept_in: Path, folder: Path):
        """Take up what is kept.

        Args:
            kept_in: a JSON file: path below the folder -> [size, modified ns, changed ns, inode, digest].
            folder: of the release.
        """
        self._kept_in = kept_in
        self._folder = folder
        self._saved = time.monotonic()
        self._unsaved = False
        try:
            self._kept: dict[str, list[int | str]] = json.loads(kept_in.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # not read yet, or half a file after a power cut
            self._kept = {}

    def unread_bytes(self, path: Path) -> int:
        """How much must be read to know the digest of a file; 0 where it is known."""
        return 0 if self._known(path) else path.stat().st_size

    def sha256(self, path: Path) -> str:
        """Hex sha256 of a file of the release."""
        digest = self._known(path)
        if digest is None:
            before = stamp(path)
            digest = file_sha256(path)
            if before == stamp(path):  # else somebody writes: this is the digest of no content that stays
                self._kept[self._key(path)] = [*before, digest]
                self._unsaved = True
            if time.monotonic() - self._saved > _SAVE_SECONDS:
                self.save()
        return digest

    def save(self) -> None:
        """Keep what was read for whoever asks next."""
        if self._unsaved:
            self._kept_in.parent.mkdir(exist_ok=True)
            write_atomically(self._kept_in, json.dumps(self._kept, ensure_ascii=False))
        self._saved, self._unsaved = time.monotonic(), False

    def _known(self, path: Path) -> str | None:
        kept = self._kept.get(self._key(path))
        return str(kept[-1]) if kept and kept[:-1] == stamp(path) else None

    def _key(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()
