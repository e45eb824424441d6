"""What Prometheus sees of a running stage: its figures as gauges, labelled by model, release and stage.

    KOREAN_LLM_METRICS_PORT   serve them on this port (a cluster's pods carry the annotations for scraping)
    KOREAN_LLM_PUSHGATEWAY    push the last values at the end: a stage may be shorter than a scrape interval

Without either variable nothing is opened and nothing is imported.
"""

import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from trainers.contract import StageRequest

_LABELS = ("model", "release", "stage")
_FIGURES = {
    "loss": ("korean_llm_loss", "training loss of the last logged step"),
    "eval_loss": ("korean_llm_held_out_loss", "loss on the held-out split"),
    "learning_rate": ("korean_llm_learning_rate", "learning rate of the last logged step"),
    "grad_norm": ("korean_llm_gradient_norm", "norm of the gradient before clipping"),
    "tokens_per_second": ("korean_llm_tokens_per_second", "tokens trained on per second, over all GPUs"),
}


class Exporter:
    """The gauges of one stage."""

    def __init__(self, request: StageRequest):
        from prometheus_client import CollectorRegistry, Gauge

        self.registry = CollectorRegistry()
        labels = (request.model or "", request.release or "", request.stage)
        self._job = "/".join(label for label in labels if label)

        def gauge(name: str, text: str) -> Any:
            return Gauge(name, text, _LABELS, registry=self.registry).labels(*labels)

        self._gauges = {key: gauge(name, text) for key, (name, text) in _FIGURES.items()}
        self._step = gauge("korean_llm_step", "steps done")
        self._step_seconds = gauge("korean_llm_step_seconds", "seconds per step since the last logged one")
        self._last_step = gauge("korean_llm_last_step_timestamp_seconds", "when a step was last logged, Unix time")
        self._seen: tuple[int, float] | None = None

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Take over the figures of one step."""
        now = time.time()
        for key, gauge in self._gauges.items():
            if key in values:
                gauge.set(values[key])
        if self._seen is not None and step > self._seen[0]:
            self._step_seconds.set((now - self._seen[1]) / (step - self._seen[0]))
        if self._seen is None or step > self._seen[0]:
            self._seen = (step, now)
            self._last_step.set(now)
        self._step.set(step)

    def push(self, gateway: str) -> None:
        """Leave the last values at a Pushgateway; a missing one never fails the stage."""
        from prometheus_client import push_to_gateway

        try:
            push_to_gateway(gateway, job=self._job, registry=self.registry, timeout=10)
        except OSError as error:
            warnings.warn(f"the metrics of this stage were not pushed: {error}", stacklevel=2)


@contextmanager
def exporting(request: StageRequest) -> Iterator[Exporter | None]:
    """The exporter that the environment asks for, while the stage runs."""
    port, gateway = os.environ.get("KOREAN_LLM_METRICS_PORT"), os.environ.get("KOREAN_LLM_PUSHGATEWAY")
    if (not port and not gateway) or os.environ.get("RANK", "0") != "0":
        yield None
        return
    from prometheus_client import start_http_server

    exporter = Exporter(request)
    server = start_http_server(int(port), registry=exporter.registry) if port else None
    try:
        yield exporter
    finally:
        if gateway:
            exporter.push(gateway)
        if server is not None:
            server[0].shutdown()
            server[0].server_close()
