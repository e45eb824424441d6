"""Where everything of an artifact lies on the disk. No module but this one and `artifacts.py` spells these names.

Under the artifact root, for a request with digest D:

    <asset>/<partition keys>/D/                the artifact; `manifest.json` was written last
    <asset>/<partition keys>/D.partial/        unfinished work, the same folder for every attempt
        output/                                what becomes the artifact
        scratch/                               checkpoints and other state between attempts
        attempts.json                          when each attempt began, ended, and from where it went on
        failure.json                           why the last one ended
        drops.json                             what the landed folders looked like that the work is made from
    <asset>/<partition keys>/D.request.json    the request, left by the launcher for the stage to read
    <asset>/<partition keys>/D.messages.jsonl  live messages of the stage (dagster_pipes)
    <asset>/<partition keys>/D.lock            held by the one process that works on it
    <asset>/<partition keys>/D.request.launch  held by the launcher of a machine without a cluster
    <asset>/<partition keys>/D.approval.json   a person's word for a report whose gate failed
    <asset>/<partition keys>/.removed-*        what was half removed when something killed the removal
    .tracking/D.jsonl, D.state                 what the tracker shall be told, and how far the telling is
    .registry/                                 locks of the model registry
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from trainers.contract.exits import Failure
from trainers.contract.locks import is_held, locked
from trainers.contract.manifest import Attempt, Manifest
from trainers.contract.request import StageRequest

_REMOVED = ".removed-"
_REQUEST = ".request.json"
_PARTIAL = ".partial"


@dataclass(frozen=True)
class Place:
    """An artifact's folder and all that lies beside it, whether it is there yet or not."""

    folder: Path

    @property
    def manifest(self) -> Path:
        """Written last: where it is, the artifact is whole."""
        return self.folder / "manifest.json"

    @property
    def partial(self) -> Path:
        """The folder of unfinished work."""
        return self._beside(_PARTIAL)

    @property
    def output(self) -> Path:
        """Where the stage puts the files that become the artifact."""
        return self.partial / "output"

    @property
    def scratch(self) -> Path:
        """Where the stage keeps checkpoints and other state between attempts; gone when it commits."""
        return self.partial / "scratch"

    @property
    def request(self) -> Path:
        """The file of the request."""
        return self._beside(_REQUEST)

    @property
    def messages(self) -> Path:
        """The file of the stage's live messages."""
        return self._beside(".messages.jsonl")

    @property
    def lock(self) -> Path:
        """Held by whoever works on the artifact."""
        return self._beside(".lock")

    @property
    def launch_lock(self) -> Path:
        """Held by whoever launches the stage on this machine."""
        return self._beside(".request.launch")

    @property
    def approval(self) -> Path:
        """The file of a person's approval."""
        return self._beside(".approval.json")

    @property
    def attempts_file(self) -> Path:
        """The attempts so far, in the unfinished work."""
        return self.partial / "attempts.json"

    @property
    def failure_file(self) -> Path:
        """Why the last attempt ended, in the unfinished work."""
        return self.partial / "failure.json"

    @property
    def drops_file(self) -> Path:
        """What the landed folders looked like that the unfinished work is made from."""
        return self.partial / "drops.json"

    def _beside(self, suffix: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}{suffix}")

    def read_manifest(self) -> Manifest | None:
        """What the artifact's manifest says, its files not verified; None where there is no artifact."""
        try:
            return Manifest.model_validate_json(self.manifest.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def written_digest(self) -> str | None:
        """The content digest that the manifest was written with; it is another one where what it says was changed."""
        written: str | None = json.loads(self.manifest.read_text(encoding="utf-8")).get("digest")
        return written

    def read_request(self) -> StageRequest | None:
        """What a launcher asked for; None where none did."""
        return StageRequest.model_validate_json(self.request.read_text("utf-8")) if self.request.exists() else None

    def read_attempts(self) -> list[Attempt]:
        """The attempts so far."""
        path = self.attempts_file
        return [Attempt.model_validate(row) for row in json.loads(path.read_text("utf-8"))] if path.exists() else []

    def read_failure(self) -> Failure | None:
        """Why the last attempt failed, if it said so."""
        path = self.failure_file
        return Failure.model_validate_json(path.read_text("utf-8")) if path.exists() else None

    @property
    def last_sign_of_life(self) -> float:
        """Unix time at which the stage last wrote to its work or its messages; 0 where it never did."""
        return _newest([self.messages, *self.partial.rglob("*")])

    @property
    def last_touched(self) -> float:
        """Unix time at which anything of the work, or beside it, was last written; 0 where there is nothing."""
        return _newest([*self.folder.parent.glob(f"{self.folder.name}.*"), *self.partial.rglob("*")])

    @property
    def is_worked_on(self) -> bool:
        """Whether a process holds the lock."""
        return is_held(self.lock)

    def remove_artifact(self) -> bool:
        """Remove the artifact and what lies beside it; False where somebody works on it, and nothing is removed."""
        return self._remove(self.folder, forget=True)

    def remove_work(self) -> bool:
        """Remove unfinished work, and what lies beside it where there is no artifact; False as above."""
        return self._remove(self.partial, forget=not self.manifest.exists())

    def _remove(self, folder: Path, forget: bool) -> bool:
        try:
            with locked(self.lock, wait=False):
                remove(folder)
                for path in (self.request, self.launch_lock, self.messages, self.approval) if forget else ():
                    path.unlink(missing_ok=True)
                if forget:
                    self.lock.unlink()
        except Timeout:
            return False
        return True


@dataclass(frozen=True)
class Cell:
    """All artifacts of one asset for one partition, and the work on others."""

    folder: Path

    @property
    def places(self) -> Iterator[Place]:
        """Every request of which there is an artifact, unfinished work, or the file; by digest."""
        for name in sorted({path.name.split(".")[0] for path in self.folder.glob("[!.]*")}):
            place = Place(self.folder / name)
            if any(path.exists() for path in (place.manifest, place.partial, place.request)):
                yield place

    @property
    def half_removed(self) -> list[Path]:
        """Folders whose removal was killed."""
        return sorted(self.folder.glob(f"{_REMOVED}*"))


def _newest(files: Iterable[Path]) -> float:
    return max((path.stat().st_mtime for path in files if path.exists()), default=0.0)


def remove(folder: Path) -> None:
    """Remove a folder, where there is one. It is out of sight with one rename first: a kill half-way leaves nothing
    that anyone mistakes for what it was, and the next removal takes the rest along.
    """
    aside = folder if folder.name.startswith(_REMOVED) else folder.with_name(f"{_REMOVED}{folder.name}")
    if aside.exists():
        shutil.rmtree(aside)
    if folder.exists():
        folder.rename(aside)
        shutil.rmtree(aside)
