"""What Prometheus sees of a running stage: its figures, labelled by model, release and stage.

    KOREAN_LLM_METRICS_PORT   serve them on this port (a cluster's pods carry the annotations for scraping)
    KOREAN_LLM_PUSHGATEWAY    push the last values at the end: a stage may be shorter than a scrape interval

Without either variable nothing is opened and nothing is imported. A series is absent until its figure is known.
"""

import http.client
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from trainers.contract import Attempt, StageRequest, lost_seconds, settings
from trainers.contract.redaction import redacted, without_secrets
from trainers.runner.figures import FIGURES

LABELS = ("model", "release", "stage")
PUSHED_JOB = "korean-llm-pushed"
"""The `job` of what a Pushgateway keeps; rules about running stages leave it out."""
_FIGURES = {figure.name: figure.series for figure in FIGURES if figure.series}
SERIES = {
    "korean_llm_step": "steps done",
    **{figure.series: figure.meaning for figure in FIGURES if figure.series},
    "korean_llm_step_seconds": "seconds per step since the last logged one",
    "korean_llm_eta_seconds": "seconds until the present work of the stage is done, at the pace until now",
    "korean_llm_last_progress_timestamp_seconds": "when a step, save or evaluation batch ended, Unix time",
    "korean_llm_checkpoint_age_seconds": "seconds since the last checkpoint was saved; what a crash now would lose",
    "korean_llm_goodput_ratio": "share of all attempts' time that was not lost to restarts",
}
"""What is served: the figures that a training logs, and what is known only here."""
_PROGRESS = "korean_llm_last_progress_timestamp_seconds"
_ETA = "korean_llm_eta_seconds"
_ONLY_LIVE = {_PROGRESS, _ETA, "korean_llm_checkpoint_age_seconds"}
_PUSH_SECONDS = 10


class Exporter:
    """The series of one stage; a collector in prometheus_client's sense, asked at every scrape."""

    def __init__(self, request: StageRequest, attempts: Sequence[Attempt] = ()):
        self._labels = {"model": request.model or "", "release": request.release or "", "stage": request.stage}
        self._attempts = attempts
        self._known: dict[str, float] = {}
        self._last_step: float | None = None
        self._last_save: float | None = None

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Take over the figures of one step."""
        now = time.time()
        self._known.update({_FIGURES[key]: float(value) for key, value in values.items() if key in _FIGURES})
        before = self._known.get("korean_llm_step")
        if before is None or step > before:
            if before is not None and self._last_step is not None:
                self._known["korean_llm_step_seconds"] = (now - self._last_step) / (step - before)
            self._last_step = self._known[_PROGRESS] = now
        self._known["korean_llm_step"] = step

    def left(self, seconds: float) -> None:
        """How long the present work still takes."""
        self._known[_ETA] = seconds

    def pulse(self) -> None:
        """Training moves, though no step ended."""
        self._known[_PROGRESS] = time.time()

    def checkpoint_saved(self) -> None:
        """A checkpoint was saved just now."""
        self._last_save = self._known[_PROGRESS] = time.time()

    def training_ended(self) -> None:
        """From here on nobody waits for steps: the stage merges, measures, publishes."""
        for name in (_PROGRESS, _ETA):
            self._known.pop(name, None)

    def collect(self) -> Iterator[Any]:
        """Every series; those whose figure is not known have no sample."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        values = self._now()
        for name, text in SERIES.items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(name, text, labels=LABELS)
            if name in values:
                family.add_metric([self._labels[label] for label in LABELS], values[name])
            yield family

    def push(self, gateway: str) -> None:
        """Leave the last values at a Pushgateway; one that is missing, slow or broken never fails the stage."""
        from prometheus_client import push_to_gateway

        registry = self.registry().restricted_registry(sorted(SERIES.keys() - _ONLY_LIVE))
        try:
            push_to_gateway(gateway, PUSHED_JOB, registry, grouping_key=self._labels, timeout=_PUSH_SECONDS)
        except (OSError, ValueError, http.client.HTTPException) as error:
            words = without_secrets(f"the metrics of this stage were not pushed to {redacted(gateway)}: {error!r}")
            warnings.warn(words, stacklevel=2)

    def registry(self) -> Any:
        """A registry with this collector alone."""
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry(auto_describe=True)
        registry.register(self)
        return registry

    def _now(self) -> dict[str, float]:
        """The figures, and those that change by waiting."""
        values, now = dict(self._known), time.time()
        if self._last_save is not None:
            values["korean_llm_checkpoint_age_seconds"] = now - self._last_save
        elapsed = sum((attempt.ended or now) - attempt.started for attempt in self._attempts)
        if elapsed > 0:
            values["korean_llm_goodput_ratio"] = 1 - lost_seconds(self._attempts) / elapsed
        return values


_POD = "KUBERNETES_SERVICE_HOST"
"""Kubernetes sets it in every pod, whose address is its own: only there does anybody come from elsewhere to scrape."""


@contextmanager
def exporting(request: StageRequest, attempts: Sequence[Attempt] = ()) -> Iterator[Exporter | None]:
    """The exporter that the environment asks for, while the stage runs.

    Args:
        attempts: at the request so far, the running one last.
    """
    port, gateway = settings.METRICS_PORT.get(), settings.PUSHGATEWAY.get()
    if (port is None and not gateway) or os.environ.get("RANK", "0") != "0":
        yield None
        return
    from prometheus_client import start_http_server

    exporter = Exporter(request, attempts)
    server = None
    if port is not None:
        try:
            address = "0.0.0.0" if _POD in os.environ else "127.0.0.1"
            server = start_http_server(port, address, exporter.registry())
        except OSError as error:  # two stages on one machine: nobody's training ends for a listener
            warnings.warn(f"metrics are not served on port {port}: {error.strerror}", stacklevel=2)
    try:
        yield exporter
    finally:
        if gateway:
            exporter.push(gateway)
        if server is not None:
            server[0].shutdown()
            server[0].server_close()
