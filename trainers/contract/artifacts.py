"""Artifacts on a POSIX filesystem: found and verified, or made so that a kill leaves all or nothing.

What lies where is said in `layout.py`.
"""

import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import Timeout
from pydantic import ValidationError

from trainers.contract import (
    STAGES,
    Artifact,
    Attempt,
    BadRequest,
    DiskTrouble,
    Failure,
    FileRecord,
    Input,
    Manifest,
    Stage,
    StageError,
    StageRequest,
)
from trainers.contract.digests import file_sha256, tree_digest, tree_stamps
from trainers.contract.files import disk_errors_named, fsync_folder, write_atomically
from trainers.contract.layout import Cell, Place, remove
from trainers.contract.locks import locked
from trainers.contract.names import inside


class Busy(StageError):
    """Another process works on the same request."""


class Workspace:
    """The unfinished work of one request: a folder that only this process writes to."""

    def __init__(self, place: Place, request: StageRequest, journal: Path):
        self.place = place
        self.request = request
        self.journal = journal
        self.attempts = place.read_attempts()

    @property
    def folder(self) -> Path:
        """All of it."""
        return self.place.partial

    @property
    def output(self) -> Path:
        """Where the stage puts the files that become the artifact."""
        return self.place.output

    @property
    def scratch(self) -> Path:
        """Where the stage keeps checkpoints and other state between attempts; gone when it commits."""
        return self.place.scratch

    @property
    def final(self) -> Path:
        """Where the artifact will lie."""
        return self.place.folder

    def reads(self, drops: Mapping[str, Path]) -> None:
        """Say which landed folders the work is made from; what an earlier attempt made from other files is removed."""
        stamps = {name: tree_stamps(folder) for name, folder in drops.items()}
        mark = self.place.drops_file
        if mark.exists() and json.loads(mark.read_text("utf-8")) != stamps:
            self._forget()
        write_atomically(mark, json.dumps(stamps))

    @contextmanager
    def unchanged(self, drops: Mapping[str, Path]) -> Iterator[None]:
        """Inside, the stage works on the landed folders. The digest that the result gets is that of their content
        before: where somebody wrote to them meanwhile, nothing that was made is kept.

        Raises:
            BadRequest: a landed folder changed since `reads`.
        """
        try:
            yield
        except Exception as error:
            if changed := self._changed(drops):
                raise changed from error
            raise
        if changed := self._changed(drops):
            raise changed

    def _changed(self, drops: Mapping[str, Path]) -> BadRequest | None:
        stamps = json.loads(self.place.drops_file.read_text("utf-8"))
        changed = [folder for name, folder in drops.items() if tree_stamps(folder) != stamps[name]]
        if not changed:
            return None
        self._forget()
        return BadRequest(
            f"{changed[0]} changed while the stage read it. Materialize again: the new request names the new content."
        )

    def _forget(self) -> None:
        for folder in (self.output, self.scratch):
            remove(folder)
            folder.mkdir()

    def begin_attempt(self) -> Attempt:
        """Record that a new attempt starts; one that was killed ended at its last sign of life."""
        if self.attempts and self.attempts[-1].ended is None:
            last = max(self.place.last_sign_of_life, self.attempts[-1].started)
            self.attempts[-1] = self.attempts[-1].model_copy(update={"ended": min(last, time.time())})
        self.place.failure_file.unlink(missing_ok=True)
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

    def _save_attempts(self) -> None:
        rows = [attempt.model_dump() for attempt in self.attempts]
        write_atomically(self.place.attempts_file, json.dumps(rows, indent=1))

    def fail(self, failure: Failure) -> None:
        """Leave the reason beside the unfinished work."""
        write_atomically(self.place.failure_file, failure.model_dump_json(indent=1))

    def records(self, keep: Path, provenance: Collection[str] = ()) -> tuple[FileRecord, ...]:
        """Size and sha256 of every file below `keep`, each flushed to the disk and as readable as its folder.

        safetensors writes files that only their owner reads, and the pods that serve and register have another one.

        Args:
            keep: the folder.
            provenance: files in it that are not content, because they name places of origin.
        """
        records = []
        mode = keep.stat().st_mode & 0o666
        for path in sorted(keep.rglob("*")):
            if path.is_dir():
                fsync_folder(path)
                continue
            path.chmod(mode)
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                os.fsync(stream.fileno())
            name = path.relative_to(keep).as_posix()
            size = path.stat().st_size
            records.append(FileRecord(path=name, size=size, sha256=digest, is_content=name not in provenance))
        fsync_folder(keep)
        return tuple(records)

    def commit(self, manifest: Manifest) -> Artifact:
        """Publish the output folder: manifest last, then one rename."""
        write_atomically(Place(self.output).manifest, manifest.model_dump_json(indent=1))
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

    def beside(self, request: StageRequest) -> Place:
        """That folder, and all that lies beside it."""
        return Place(self.folder(request))

    @property
    def registry_locks(self) -> Path:
        """Where the model registry keeps its locks."""
        return self.root / ".registry"

    def _journal(self, request_digest: str) -> Path:
        return self.root / ".tracking" / f"{request_digest}.jsonl"

    def tracking_run(self, manifest: Manifest) -> str | None:
        """The tracker's run of an artifact, where there is one; a short stage learns it after its manifest."""
        state = self._journal(manifest.request_digest).with_suffix(".state")
        if manifest.tracking_run is None and state.exists():
            run_id: str | None = json.loads(state.read_text()).get("run_id")
            return run_id
        return manifest.tracking_run

    def failure(self, request: StageRequest) -> Failure | None:
        """Why the last attempt failed, if it said so."""
        return self.beside(request).read_failure()

    def cell(self, stage: Stage, model: str | None, release: str | None) -> Cell:
        """All artifacts of a stage for one partition."""
        return Cell(self.root.joinpath(stage.asset, *(key for key in (model, release) if key)))

    def cells(self) -> Iterator[Cell]:
        """Every partition of every stage of which anything is there."""
        for stage in STAGES.values():
            depth = "/".join(["[!.]*"] * (stage.by_model + stage.by_release))
            yield from (Cell(path) for path in sorted((self.root / stage.asset).glob(depth)) if path.is_dir())

    def manifests(self) -> Iterator[Manifest]:
        """What the manifest of every committed artifact says, files not verified."""
        for cell in self.cells():
            yield from (manifest for place in cell.places if (manifest := place.read_manifest()) is not None)

    def unfinished(self) -> Iterator[tuple[StageRequest, list[Attempt]]]:
        """Requests with attempts and without an artifact."""
        for cell in self.cells():
            for place in cell.places:
                request, attempts = place.read_request(), place.read_attempts()
                if request is not None and attempts and not place.manifest.exists():
                    yield request, attempts

    def read_manifest(self, path: str) -> Manifest | None:
        """What the manifest of an artifact says, files not verified; None where there is no artifact.

        Args:
            path: the artifact's, relative to the root.
        """
        return Place(self.root / path).read_manifest()

    def find(self, request: StageRequest) -> Manifest | None:
        """The manifest of the request's committed artifact, or None. Verifies every file.

        Raises:
            DiskTrouble: an artifact is there but its files are not what its manifest says.
        """
        folder = self.folder(request)
        if not folder.exists():
            return None
        return self.read(folder, expected_request=request.digest)

    def reuse(self, request: StageRequest) -> Manifest | None:
        """`find`, while nobody removes what it finds: housekeeping holds the same lock, and asks again under it."""
        place = self.beside(request)
        if not place.folder.exists():
            return None
        with locked(place.launch_lock):
            return self.find(request)

    def read(
        self,
        folder: Path,
        expected_request: str | None = None,
        expected_content: str | None = None,
        only: Collection[str] = (),
    ) -> Manifest:
        """Read and verify the artifact in a folder; of its files, where `only` names files or folders, just these.

        Raises:
            DiskTrouble: no manifest, or a changed one, or a file is missing, or its bytes are not the manifest's.
        """
        advice = "Move the folder aside and run the stage again; nothing else depends on these bytes."
        place = Place(folder)
        try:
            manifest = place.read_manifest()
        except ValidationError as error:
            raise DiskTrouble(f"{folder} is no artifact: its manifest cannot be read ({error}). {advice}") from error
        if manifest is None:
            raise DiskTrouble(f"{folder} is no artifact: it has no manifest. {advice}")
        if expected_request not in (None, manifest.request_digest):
            raise DiskTrouble(f"{folder} holds request {manifest.request_digest}, not {expected_request}. {advice}")
        if (written := place.written_digest()) != manifest.digest:
            raise DiskTrouble(
                f"{place.manifest} was changed after it was written: it was of content {written}, and what it says "
                f"now (metrics, verdicts, counts, files) is {manifest.digest}. {advice}"
            )
        if manifest.contradiction:
            raise DiskTrouble(f"{place.manifest} was changed after it was written: {manifest.contradiction}. {advice}")
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
        extra = there - {record.path for record in manifest.files} - {place.manifest.name}
        if extra and not only:
            raise DiskTrouble(
                f"{folder} holds {', '.join(sorted(extra)[:3])}, which its manifest does not name. {advice}"
            )
        for record in manifest.files:
            if only and record.path.split("/", 1)[0] not in only:
                continue
            path = folder / record.path
            if not path.is_file() or path.stat().st_size != record.size or file_sha256(path) != record.sha256:
                raise DiskTrouble(f"{path} is not what the manifest says (missing or changed). {advice}")
        if expected_content not in (None, manifest.digest):
            raise DiskTrouble(f"{folder} has content {manifest.digest}, not {expected_content}. {advice}")
        return manifest

    def verify(self, item: Input) -> Manifest:
        """The manifest of what an input names, verified; raises DiskTrouble where it is not that any more."""
        return self.read(self.root / item.path, expected_content=item.digest)

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
            if not landing.is_dir():
                raise DiskTrouble(f"the landing area {landing} is not there; mount its volume, then run again")
            folder = inside(landing, item.path)
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
        place = self.beside(request)
        with ExitStack() as lock:
            with disk_errors_named(f"opening {place.partial}"):
                place.partial.mkdir(parents=True, exist_ok=True)
                try:
                    lock.enter_context(locked(place.lock, wait=False))
                except Timeout as error:
                    raise Busy(
                        f"another process works on {place.partial}; wait for it, or stop it, then run again"
                    ) from error
            for folder in (place.output, place.scratch):
                folder.mkdir(parents=True, exist_ok=True)
            yield Workspace(place, request, self._journal(request.digest))

    def discard_partial(self, request: StageRequest) -> None:
        """Remove the leftovers of a committed request."""
        remove(self.beside(request).partial)
