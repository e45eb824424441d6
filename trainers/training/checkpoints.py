"""Checkpoints that a kill cannot spoil: written aside, flushed, hashed, renamed; resumed only when they verify.

Flushing, hashing and renaming can go on in the background: files are written into the machine's memory first (the page
cache), and training goes on from there. One save at a time: the next one waits for the former.

Layout, in the stage's scratch folder:

    checkpoints/step-00000050/     a whole checkpoint; `seal.json` names every file's hash and what it belongs to
    checkpoints/.writing-NNN/      a save that is going on, or that was killed
    checkpoints/rejected/          checkpoints that did not verify, kept for whoever looks into it
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from trainers.contract import BadData, BadRequest
from trainers.contract.digests import file_sha256
from trainers.contract.files import disk_errors_named, fsync_folder, write_atomically

_SEAL = "seal.json"
_HASHING_THREADS = 4


class Checkpoints:
    """The checkpoints of one training.

    `identity` says what they belong to (name -> hash: data, recipe, tokenizer, ...); one that belongs to
    something else is never resumed from. The newest `keep` stay, and beside them that of the step `spared`.
    """

    def __init__(
        self,
        folder: Path,
        identity: dict[str, str],
        warn: Callable[[str], None],
        keep: int = 2,
        background: bool = False,
    ):
        self.folder = folder
        self.keep = keep
        self.spared: int | None = None
        self.seconds_saving = 0.0
        self.saves = 0
        self._last_save = time.monotonic()
        self._background = ThreadPoolExecutor(1, "checkpoint") if background else None
        self._going_on: Future[None] | None = None
        self._identity = identity
        self._warn = warn
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def writing(self, step: int) -> Iterator[Path]:
        """A folder to save into; sealed and published when the block ends well, else left as rubbish.

        Publishing may still go on when this returns; `seconds_saving` counts the time that training waited.
        """
        aside = self.aside(step)
        began = time.monotonic()
        self.settle()
        with disk_errors_named(f"saving the checkpoint of step {step}"):
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            yield aside
        if self._background is None:
            self._publish(aside, step)
        else:
            self._going_on = self._background.submit(self._publish, aside, step)
        self._last_save = time.monotonic()
        self.seconds_saving += self._last_save - began
        self.saves += 1

    def settle(self) -> None:
        """Return when no save goes on any more; raises what the last one raised in the background."""
        if self._going_on is not None:
            going_on, self._going_on = self._going_on, None
            going_on.result()

    @contextmanager
    def settled(self) -> Iterator[None]:
        """When the block has ended, well or not, no save goes on any more."""
        try:
            yield
        finally:
            self.settle()

    def _publish(self, aside: Path, step: int) -> None:
        with disk_errors_named(f"saving the checkpoint of step {step}"):
            self._seal(aside, step)
            final = self._final(step)
            if final.exists():  # a run that was resumed from an older one comes by here again
                shutil.rmtree(final)
            aside.rename(final)
            fsync_folder(self.folder)
            self._prune()

    def aside(self, step: int) -> Path:
        """Where the checkpoint of a step is while it is being written."""
        return self.folder / f".writing-{step}"

    def is_due(self, failure_hours: float) -> bool:
        """True where the time since the last save is worth a save (Young 1974, Daly 2006).

        The least time is lost when saves are sqrt(2 x cost of a save x mean time between failures) apart. The cost
        is measured; before the first save it is unknown and steps alone decide.
        """
        if not self.saves:
            return False
        cost = self.seconds_saving / self.saves
        return time.monotonic() - self._last_save >= math.sqrt(2 * cost * failure_hours * 3600)

    def newest(self) -> Path | None:
        """The newest checkpoint that verifies, or None. Others are moved to `rejected/` and named in a warning.

        Raises:
            BadRequest: the newest good one belongs to other data, another recipe or another tokenizer.
        """
        self.settle()
        for leftover in self.folder.glob(".writing-*"):
            shutil.rmtree(leftover)
        for candidate in self._all():
            if (fault := self._fault(candidate)) is None:
                self._require_same_identity(candidate)
                return candidate
            self._reject(candidate, fault)
        return None

    def of_step(self, step: int) -> Path:
        """The checkpoint of a step that was spared.

        Raises:
            BadData: it is not what was saved.
        """
        self.settle()
        folder = self._final(step)
        if (fault := self._fault(folder)) is not None:
            raise BadData(
                f"checkpoint {folder.name}, which is to be published, is not whole: {fault}. Remove {self.folder} to "
                "train again"
            )
        return folder

    @staticmethod
    def step_of(checkpoint: Path) -> int:
        """The step that a checkpoint was saved after."""
        return int(checkpoint.name.removeprefix("step-"))

    def _final(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _all(self) -> list[Path]:
        return sorted((path for path in self.folder.glob("step-*") if path.is_dir()), reverse=True)

    def _seal(self, folder: Path, step: int) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        with ThreadPoolExecutor(_HASHING_THREADS) as pool:
            names = (path.relative_to(folder).as_posix() for path in files)
            hashes = dict(zip(names, pool.map(_flush, files), strict=True))
        for nested in (path for path in folder.rglob("*") if path.is_dir()):
            fsync_folder(nested)
        seal = {"step": step, "identity": self._identity, "files": hashes}
        write_atomically(folder / _SEAL, json.dumps(seal, indent=1))

    def _fault(self, folder: Path) -> str | None:
        try:
            files: dict[str, str] = json.loads((folder / _SEAL).read_text(encoding="utf-8"))["files"]
        except (OSError, ValueError, KeyError) as error:
            return f"its seal cannot be read ({type(error).__name__})"
        for name, digest in files.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if file_sha256(path) != digest:
                return f"{name} is not what was saved"
        return None

    def _require_same_identity(self, folder: Path) -> None:
        saved: dict[str, str] = json.loads((folder / _SEAL).read_text(encoding="utf-8"))["identity"]
        changed = sorted(
            key for key in saved.keys() | self._identity.keys() if saved.get(key) != self._identity.get(key)
        )
        if changed:
            raise BadRequest(
                f"{folder} was saved with other {', '.join(changed)}; going on from it would train something else. "
                "Undo the change, or remove the folder to start this training again"
            )

    def _reject(self, folder: Path, fault: str) -> None:
        kept = self.folder / "rejected" / f"{folder.name}.{os.getpid()}"
        kept.parent.mkdir(exist_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        folder.rename(kept)
        self._warn(f"checkpoint {folder.name} is skipped: {fault}. It is kept as {kept}")

    def _prune(self) -> None:
        for old in self._all()[self.keep :]:
            if self.step_of(old) != self.spared:
                shutil.rmtree(old)


def _flush(path: Path) -> str:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    return file_sha256(path)
