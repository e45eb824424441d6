"""What a running stage says: progress lines, live messages for Dagster, and metrics for the tracker."""

import os
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, PipesContext, open_dagster_pipes

from trainers.contract import Manifest, StageRequest
from trainers.contract.artifacts import Workspace
from trainers.contract.names import shown
from trainers.runner.metrics_server import Exporter, exporting
from trainers.runner.tracking import Tracking

_QUIET_SECONDS = 2.0
"""At most one progress line and message in this time, the last step's always."""


class Reporter(ABC):
    """A stage's voice in one process of it. Losing a listener never fails the stage."""

    @property
    @abstractmethod
    def tracking_run(self) -> str | None:
        """The tracker's run id, once there is one."""

    @abstractmethod
    def say(self, text: str) -> None:
        """One line for people."""

    @abstractmethod
    def warn(self, text: str) -> None:
        """One line that somebody should read."""

    @abstractmethod
    def progress(self, step: int, total: int, unit: str = "step", figures: Mapping[str, float] | None = None) -> None:
        """How far the stage is; adds the time that is left. `figures` are shown, e.g. loss, tokens/s."""

    @abstractmethod
    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of one step, for the tracker."""

    @abstractmethod
    def pulse(self) -> None:
        """Training moves, though no step ended."""

    @abstractmethod
    def checkpoint_saved(self) -> None:
        """What was done until now would survive a crash."""

    @abstractmethod
    def training_ended(self) -> None:
        """No more steps will come."""

    @abstractmethod
    def params(self, values: Mapping[str, object]) -> None:
        """Settings, for the tracker."""

    @abstractmethod
    def attach(self, path: Path) -> None:
        """A small file (a report, a plot) for the tracker; never model weights."""

    @abstractmethod
    def finish(self, manifest: Manifest) -> None:
        """Close the tracker's run with the manifest's final figures."""


class LeaderReporter(Reporter):
    """The process that leads, or is alone: tells people, Dagster, the tracker and Prometheus."""

    def __init__(
        self, request: StageRequest, tracking: Tracking, pipes: PipesContext | None, exporter: Exporter | None = None
    ):
        self._request = request
        self._tracking = tracking
        self._exporter = exporter
        self._pipes = pipes
        self._begun: dict[str, tuple[int, float]] = {}
        self._last_line = 0.0

    @classmethod
    @contextmanager
    def open(cls, request: StageRequest, workspace: Workspace) -> Iterator["LeaderReporter"]:
        """The reporter of one attempt."""
        with ExitStack() as stack:
            pipes = None
            if DAGSTER_PIPES_CONTEXT_ENV_VAR in os.environ:
                pipes = stack.enter_context(open_dagster_pipes())
            tracking = stack.enter_context(Tracking.open(request, workspace))
            yield cls(request, tracking, pipes, stack.enter_context(exporting(request, workspace.attempts)))

    @property
    def tracking_run(self) -> str | None:
        """The tracker's run id, once there is one."""
        return self._tracking.run_id

    def say(self, text: str) -> None:
        """One line for people."""
        line = shown(text)
        print(f"[{self._request.asset}] {line}", flush=True)
        self._send(lambda pipes: pipes.log.info(line))

    def warn(self, text: str) -> None:
        """One line that somebody should read."""
        _print_warning(self._request, text)
        self._send(lambda pipes: pipes.log.warning(shown(text)))

    def progress(self, step: int, total: int, unit: str = "step", figures: Mapping[str, float] | None = None) -> None:
        """See `Reporter`; the time that is left is told by what this unit took since its count began."""
        now = time.monotonic()
        first, started = self._begun.get(unit, (step, now))
        if step <= first:
            self._begun[unit] = first, started = step, now
        if now - self._last_line < _QUIET_SECONDS and step < total:
            return
        self._last_line = now
        done = step - first
        left = (now - started) / done * (total - step) if done > 0 else None
        parts = [f"{unit} {step}/{total}", *(f"{name} {value:,.4g}" for name, value in (figures or {}).items())]
        if left is not None:
            parts.append(f"ETA {left:.0f}s")
            if self._exporter is not None:
                self._exporter.left(left)
        line = "  ".join(parts)
        print(f"[{self._request.asset}] {line}", flush=True)
        message = {"step": step, "total": total, "unit": unit, "eta_seconds": left, "figures": dict(figures or {})}
        self._send(lambda pipes: pipes.report_custom_message({"progress": message, "line": line}))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of one step, for the tracker."""
        self._tracking.metrics(step, values)
        if self._exporter is not None:
            self._exporter.step(step, values)

    def pulse(self) -> None:
        """Training moves, though no step ended."""
        if self._exporter is not None:
            self._exporter.pulse()

    def checkpoint_saved(self) -> None:
        """What was done until now would survive a crash."""
        if self._exporter is not None:
            self._exporter.checkpoint_saved()

    def training_ended(self) -> None:
        """No more steps will come."""
        if self._exporter is not None:
            self._exporter.training_ended()

    def params(self, values: Mapping[str, object]) -> None:
        """Settings, for the tracker."""
        self._tracking.params(values)

    def attach(self, path: Path) -> None:
        """A small file (a report, a plot) for the tracker; never model weights."""
        self._tracking.attach(path)

    def finish(self, manifest: Manifest) -> None:
        """Close the tracker's run with the manifest's final figures."""
        self._tracking.finish(manifest)

    def _send(self, action: Callable[[PipesContext], None]) -> None:
        if self._pipes is None:
            return
        try:
            action(self._pipes)
        except OSError as error:
            warnings.warn(f"live messages are lost from here on: {error}", stacklevel=2)
            self._pipes = None


class FollowerReporter(Reporter):
    """A process that follows another one: warns in its own log, and leaves the rest to the leader."""

    def __init__(self, request: StageRequest):
        self._request = request

    @property
    def tracking_run(self) -> None:
        """None: the run is the leader's."""
        return None

    def say(self, text: str) -> None:
        """Nothing; the leader says it."""

    def warn(self, text: str) -> None:
        """One line in this process's own log."""
        _print_warning(self._request, text)

    def progress(self, step: int, total: int, unit: str = "step", figures: Mapping[str, float] | None = None) -> None:
        """Nothing; the leader says it."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing; the leader tracks it."""

    def pulse(self) -> None:
        """Nothing; the leader serves the metrics."""

    def checkpoint_saved(self) -> None:
        """Nothing; the leader serves the metrics."""

    def training_ended(self) -> None:
        """Nothing; the leader serves the metrics."""

    def params(self, values: Mapping[str, object]) -> None:
        """Nothing; the leader tracks it."""

    def attach(self, path: Path) -> None:
        """Nothing; the leader tracks it."""

    def finish(self, manifest: Manifest) -> None:
        """Nothing; the leader's run is closed by the leader."""


def _print_warning(request: StageRequest, text: str) -> None:
    print(f"[{request.asset}] warning: {shown(text)}", flush=True, file=sys.stderr)
