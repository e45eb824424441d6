"""Artifacts on a POSIX filesystem: found and verified, or made so that a kill leaves all or nothing.

Layout, for a request with digest D, under the artifact root:

    <asset>/<partition keys>/D/                the artifact; `manifest.json` was written last
    <asset>/<partition keys>/D.partial/        unfinished work, the same folder for every attempt
    <asset>/<partition keys>/D.messages.jsonl  live messages of the stage (dagster_pipes)
    <asset>/<partition keys>/D.lock            held by the one process that works on it
"""

import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import Timeout
from pydantic import ValidationError

from trainers.contract import (
    Artifact,
    Attempt,
    BadRequest,
    DiskTrouble,
    Failure,
    FileRecord,
    Input,
    Manifest,
    StageError,
    StageRequest,
)
from trainers.contract.digests import file_sha256, tree_digest
from trainers.contract.files import disk_errors_named, fsync_folder, write_atomically
from trainers.contract.locks import locked

MANIFEST = "manifest.json"
FAILURE = "failure.json"
ATTEMPTS = "attempts.json"


class Busy(StageError):
    """Another process works on the same request."""


class Workspace:
    """The unfinished work of one request: a folder that only this process writes to."""

    def __init__(self, folder: Path, final: Path, request: StageRequest):
        self.folder = folder
        self.final = final
        self.request = request
        self.attempts = self._load_attempts()

    def _load_attempts(self) -> list[Attempt]:
        path = self.folder / ATTEMPTS
        return [Attempt.model_validate(row) for row in json.loads(path.read_text())] if path.exists() else []

    def begin_attempt(self) -> Attempt:
        """Record that a new attempt starts; one that was killed ended at its last sign of life."""
        if self.attempts and self.attempts[-1].ended is None:
            self.attempts[-1] = self.attempts[-1].model_copy(update={"ended": self._last_sign_of_life()})
        attempt = Attempt(number=len(self.attempts) + 1, started=time.time())
        self.attempts.append(attempt)
        self._save_attempts()
        return attempt

    def end_attempt(self, exit_code: int) -> None:
        """Record how the running attempt ended."""
        self.attempts[-1] = self.attempts[-1].model_copy(update={"ended": time.time(), "exit_code": exit_code})
        self._save_attempts()

    def went_on_from(self, step: int, saved: float) -> None:
        """Record that the running attempt resumed from a step's checkpoint, saved at that Unix time."""
        self.attempts[-1].resumed_from_step, self.attempts[-1].resumed_from_time = step, saved
        self._save_attempts()

    def _last_sign_of_life(self) -> float:
        messages = self.final.with_name(f"{self.final.name}.messages.jsonl")
        files = [messages, *self.folder.rglob("*")]
        newest = max(path.stat().st_mtime for path in files if path.exists())
        return min(max(newest, self.attempts[-1].started), time.time())

    def _save_attempts(self) -> None:
        rows = [attempt.model_dump() for attempt in self.attempts]
        write_atomically(self.folder / ATTEMPTS, json.dumps(rows, indent=1))

    def fail(self, failure: Failure) -> None:
        """Leave the reason beside the unfinished work."""
        write_atomically(self.folder / FAILURE, failure.model_dump_json(indent=1))

    def records(self, keep: Path, provenance: Collection[str] = ()) -> tuple[FileRecord, ...]:
        """Size and sha256 of every file below `keep`, each flushed to the disk.

        Args:
            keep: the folder.
            provenance: files in it that are not content, because they name places of origin.
        """
        records = []
        for path in sorted(keep.rglob("*")):
            if path.is_dir():
                fsync_folder(path)
                continue
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                os.fsync(stream.fileno())
            name = path.relative_to(keep).as_posix()
            size = path.stat().st_size
            records.append(FileRecord(path=name, size=size, sha256=digest, is_content=name not in provenance))
        fsync_folder(keep)
        return tuple(records)

    @property
    def output(self) -> Path:
        """Where the stage puts the files that become the artifact."""
        return self.folder / "output"

    @property
    def scratch(self) -> Path:
        """Where the stage keeps checkpoints and other state between attempts; gone when it commits."""
        return self.folder / "scratch"

    def commit(self, manifest: Manifest) -> Artifact:
        """Publish the output folder: manifest last, then one rename."""
        write_atomically(self.output / MANIFEST, manifest.model_dump_json(indent=1))
        self.output.rename(self.final)
        fsync_folder(self.final.parent)
        return Artifact.of(manifest)


class ArtifactStore:
    """All artifacts under one root folder."""

    def __init__(self, root: Path | str):
        self.root = Path(root).absolute()

    def path(self, artifact: Artifact) -> Path:
        """The artifact's folder."""
        return self.root / artifact.path

    def folder(self, request: StageRequest) -> Path:
        """Where the request's artifact lies or will lie."""
        return self.root / request.relative_path

    def messages_path(self, request: StageRequest) -> Path:
        """The file of the stage's live messages."""
        return self._beside(request, ".messages.jsonl")

    def request_path(self, request: StageRequest) -> Path:
        """Where the launcher leaves the request for the stage to read."""
        return self._beside(request, ".request.json")

    def tracking_run(self, manifest: Manifest) -> str | None:
        """The tracker's run of an artifact, where there is one; a short stage learns it after its manifest."""
        state = self.root / ".tracking" / f"{manifest.request_digest}.state"
        if manifest.tracking_run is None and state.exists():
            found: str | None = json.loads(state.read_text()).get("run_id")
            return found
        return manifest.tracking_run

    def scratch(self, request: StageRequest) -> Path:
        """The scratch folder of the request's unfinished work."""
        return self._beside(request, ".partial") / "scratch"

    def failure(self, request: StageRequest) -> Failure | None:
        """Why the last attempt failed, if it said so."""
        path = self._beside(request, ".partial") / FAILURE
        return Failure.model_validate_json(path.read_text()) if path.exists() else None

    def find(self, request: StageRequest) -> Manifest | None:
        """The manifest of the request's committed artifact, or None. Verifies every file.

        Raises:
            DiskTrouble: an artifact is there but its files are not what its manifest says.
        """
        folder = self.folder(request)
        if not folder.exists():
            return None
        return self.read(folder, expected_request=request.digest)

    def read(
        self,
        folder: Path,
        expected_request: str | None = None,
        expected_content: str | None = None,
        only: Collection[str] = (),
    ) -> Manifest:
        """Read and verify the artifact in a folder; of its files, where `only` names files or folders, just these.

        Raises:
            DiskTrouble: no manifest, or a file is missing, or its bytes are not those of the manifest.
        """
        advice = "Move the folder aside and run the stage again; nothing else depends on these bytes."
        try:
            manifest = Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValidationError) as error:
            raise DiskTrouble(f"{folder} is no artifact ({type(error).__name__} on {MANIFEST}). {advice}") from error
        if expected_request not in (None, manifest.request_digest):
            raise DiskTrouble(f"{folder} holds request {manifest.request_digest}, not {expected_request}. {advice}")
        for record in manifest.files:
            if only and record.path.split("/", 1)[0] not in only:
                continue
            path = folder / record.path
            if not path.is_file() or path.stat().st_size != record.size or file_sha256(path) != record.sha256:
                raise DiskTrouble(f"{path} is not what the manifest says (missing or changed). {advice}")
        if expected_content not in (None, manifest.digest):
            raise DiskTrouble(f"{folder} has content {manifest.digest}, not {expected_content}. {advice}")
        return manifest

    def manifest(self, artifact: Artifact) -> Manifest:
        """The artifact's manifest, verified."""
        return self.read(self.path(artifact), artifact.request_digest, artifact.digest)

    def resolve(self, item: Input, landing: Path | None) -> Path:
        """The folder of a request's input, verified as far as the stage reads it.

        Raises:
            BadRequest: the folder is missing, or its content is not the one the request names.
        """
        if item.root == "landing":
            if landing is None:
                raise BadRequest(f"input {item.name!r} lies in the landing area; say where that is (--landing DIR)")
            folder = Path(landing) / item.path
            if not folder.is_dir():
                raise BadRequest(f"input {item.name!r}: there is no folder {folder}")
            if tree_digest(folder) != item.digest:
                raise BadRequest(
                    f"input {item.name!r}: {folder} changed after the request was built. Materialize again: "
                    "the new request names the new content."
                )
            return folder
        folder = self.root / item.path
        try:
            self.read(folder, expected_content=item.digest, only=item.only)
        except DiskTrouble as error:
            raise BadRequest(f"input {item.name!r}: {error}") from error
        return folder

    @contextmanager
    def workspace(self, request: StageRequest) -> Iterator[Workspace]:
        """The request's unfinished work, locked for this process.

        Raises:
            Busy: another process on this machine (or on the same shared volume) works on it.
        """
        partial = self._beside(request, ".partial")
        with ExitStack() as held:
            with disk_errors_named(f"opening {partial}"):
                partial.mkdir(parents=True, exist_ok=True)
                try:
                    held.enter_context(locked(self._beside(request, ".lock"), wait=False))
                except Timeout as error:
                    raise Busy(
                        f"another process works on {partial}; wait for it, or stop it, then run again"
                    ) from error
            for name in ("output", "scratch"):
                (partial / name).mkdir(parents=True, exist_ok=True)
            yield Workspace(partial, self.folder(request), request)

    def discard_partial(self, request: StageRequest) -> None:
        """Remove the leftovers of a committed request."""
        partial = self._beside(request, ".partial")
        for path in sorted(partial.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        if partial.exists():
            partial.rmdir()

    def _beside(self, request: StageRequest, suffix: str) -> Path:
        folder = self.folder(request)
        return folder.with_name(folder.name + suffix)
