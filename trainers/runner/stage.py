"""Running one stage: from a request to a committed artifact, whatever happens on the way."""

import importlib
import os
import platform
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

from trainers.contract import (
    STAGES,
    Attempt,
    BadRequest,
    Details,
    Environment,
    ExitCode,
    Failure,
    GpuSeconds,
    Interrupted,
    Manifest,
    StageError,
    StageRequest,
    lost_seconds,
    settings,
)
from trainers.contract.artifacts import ArtifactStore, Workspace
from trainers.contract.commit import code_commit
from trainers.contract.files import disk_errors_named, is_disk_trouble
from trainers.contract.plugins import check_plugins
from trainers.contract.recipe import Section
from trainers.contract.redaction import without_secrets
from trainers.runner.ranks import has_lost_another
from trainers.runner.reporting import FollowerReporter, LeaderReporter, Reporter

_RECORDED_PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "tokenizers",
    "unsloth",
    "bitsandbytes",
    "lm_eval",
    "mlflow",
    "kss",
    "soynlp",
    "polars",
)


class StopSignal:
    """SIGTERM, turned into a clean end: at once, or where the stage says it can save first."""

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False

    def install(self) -> None:
        """Listen for SIGTERM (only the main thread of a process may)."""
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True
        if not self._deferred:
            raise Interrupted("stopped by SIGTERM; run again to go on")

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, a stop only sets `requested`: the stage looks at it, saves, and raises Interrupted."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False


@dataclass
class StageContext:
    """What a stage is given."""

    request: StageRequest
    section: Any  # the typed Section of this stage; each stage annotates its own
    inputs: dict[str, Path]
    manifests: dict[str, Manifest]
    store: ArtifactStore
    output: Path
    scratch: Path
    reporter: Reporter
    stop: StopSignal
    attempt: Attempt
    went_on_from: Callable[[int, float], None]  # tells the step resumed from, and when (Unix) it was saved


@dataclass
class StageResult:
    """What a stage gives back. Metrics are reproducible figures; rates and times go to `timings`.

    `provenance`: files that name places of origin; they belong to the artifact, but not to its content digest.
    """

    metrics: dict[str, float]
    details: Details
    timings: dict[str, float] = field(default_factory=dict)
    provenance: tuple[str, ...] = ()


def typed_section(request: StageRequest, *data: Path | None) -> Section:
    """The request's section as its type, its plugins those that the request was built with.

    Args:
        data: landing root and artifact root, below which no code may lie.

    Raises:
        BadRequest: the section is a bad one, or a plugin is not that of the request.
    """
    try:
        section = STAGES[request.stage].section.model_validate(request.section)
    except ValueError as error:
        raise BadRequest(f"section of stage {request.stage!r} in the request: {error}") from error
    check_plugins(section.plugins, request.plugins, [root for root in data if root is not None])
    return section


def run_stage(request: StageRequest, store: ArtifactStore, landing: Path | None = None) -> Manifest:
    """Run a request to its artifact, or find that it is there already.

    Raises:
        StageError: with the exit code that says whether another attempt can help.
    """
    if (done := store.find(request)) is not None:
        store.discard_partial(request)
        return done
    with store.workspace(request) as workspace:
        if (done := store.find(request)) is not None:  # finished while we waited for the lock
            return done
        manifest = _attempt(request, store, workspace, landing)
    store.discard_partial(request)
    return manifest


def _attempt(request: StageRequest, store: ArtifactStore, workspace: Workspace, landing: Path | None) -> Manifest:
    stop = StopSignal()
    stop.install()
    attempt = workspace.begin_attempt()
    try:
        with (
            disk_errors_named(f"stage {request.stage} in {workspace.folder}", *filter(None, (store.root, landing))),
            LeaderReporter.open(request, workspace) as reporter,
        ):
            section = typed_section(request, landing, store.root)
            drops = {item.name: landing / item.path for item in request.inputs if item.root == "landing" and landing}
            workspace.reads(drops)
            inputs = {item.name: store.resolve(item, landing) for item in request.inputs}
            context = StageContext(
                request=request,
                section=section,
                inputs=inputs,
                manifests=_manifests_of(request, store),
                store=store,
                output=workspace.output,
                scratch=workspace.scratch,
                reporter=reporter,
                stop=stop,
                attempt=attempt,
                went_on_from=workspace.went_on_from,
            )
            with workspace.unchanged(drops):
                result = _stage_function(request.stage)(context)
            assert result is not None, "only a follower has nothing to give"
            workspace.end_attempt(ExitCode.OK)
            manifest = _manifest(request, workspace, result, reporter)
            reporter.finish(manifest)
            workspace.commit(manifest)
            return manifest
    except BaseException as error:
        code, reason = classify(error)
        try:
            workspace.end_attempt(code)
            workspace.fail(Failure(exit_code=code, error=type(error).__name__, reason=reason, attempt=attempt.number))
        except OSError as unrecorded:  # a full volume: the exit code and the last line still say why
            error.add_note(f"the failure could not be recorded in {workspace.folder}: {unrecorded}")
        raise


def follow_stage(request: StageRequest, store: ArtifactStore, landing: Path | None = None) -> None:
    """Take part in a stage that another process leads (trainers/runner/ranks.py)."""
    if store.find(request) is not None:
        return
    stop = StopSignal()
    stop.install()
    with tempfile.TemporaryDirectory() as nowhere:
        inputs = {item.name: store.resolve(item, landing) for item in request.inputs}
        context = StageContext(
            request=request,
            section=typed_section(request, landing, store.root),
            inputs=inputs,
            manifests=_manifests_of(request, store),
            store=store,
            output=Path(nowhere),
            scratch=store.beside(request).scratch,
            reporter=FollowerReporter(request),
            stop=stop,
            attempt=Attempt(number=0, started=0.0),
            went_on_from=lambda step, saved: None,
        )
        _stage_function(request.stage)(context)


def _manifests_of(request: StageRequest, store: ArtifactStore) -> dict[str, Manifest]:
    """The manifests of inputs that were verified when they were resolved."""
    paths = {item.name: item.path for item in request.inputs if item.root == "artifacts"}
    return {name: manifest for name, path in paths.items() if (manifest := store.read_manifest(path)) is not None}


def _stage_function(stage: str) -> Callable[[StageContext], StageResult | None]:
    function: Callable[[StageContext], StageResult | None] = importlib.import_module(STAGES[stage].module).run
    return function


def _manifest(request: StageRequest, workspace: Workspace, result: StageResult, reporter: Reporter) -> Manifest:
    seconds = sum((attempt.ended or attempt.started) - attempt.started for attempt in workspace.attempts)
    gpu_seconds = seconds * request.needs.gpus
    lost = lost_seconds(workspace.attempts) * request.needs.gpus
    return Manifest(
        request=request,
        request_digest=request.digest,
        files=workspace.records(workspace.output, result.provenance),
        metrics=result.metrics,
        details=result.details,
        attempts=workspace.attempts,
        timings={"seconds": round(seconds, 3), **result.timings},
        gpu_seconds=GpuSeconds(asked=gpu_seconds, used=gpu_seconds - lost, lost=lost),
        environment=_environment(),
        tracking_run=reporter.tracking_run,
    )


def _environment() -> Environment:
    versions = {"python": platform.python_version()}
    for name in _RECORDED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    hardware = {"machine": platform.machine(), "cores": str(os.cpu_count()), "node": platform.node()}
    return Environment(versions=versions, hardware=hardware, image=settings.IMAGE.get(), commit=code_commit())


def classify(error: BaseException) -> tuple[ExitCode, str]:
    """The exit code of an error, and its reason in words."""
    if isinstance(error, StageError):
        return error.code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.RESUMABLE, "interrupted from the keyboard; run again to go on"
    if isinstance(error, OSError) and is_disk_trouble(error):
        return ExitCode.DISK_TROUBLE, f"{error.strerror}: {error.filename}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return ExitCode.DOES_NOT_FIT, f"out of memory: {error}. Lower batch_size or max_length, or ask for more memory"
    if has_lost_another(error):
        return ExitCode.RESUMABLE, f"another process of this training ended, its log says why ({error})"
    last = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    where = f" at {Path(last.filename).name}:{last.lineno}" if last else ""
    return ExitCode.INTERNAL, without_secrets(f"{type(error).__name__}: {error}{where}")
