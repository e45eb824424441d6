"""How busy the GPUs of a request were, asked of Prometheus: a number, or why it is unknown. Never fails a run."""

import math

from korean_llm_assets.compute.cluster import monitoring, naming
from trainers.contract import Manifest, StageError

_SHORTEST_WINDOW = 60
"""Seconds: a few scrapes, even of the shortest stage."""


def utilisation_query(manifest: Manifest, namespace: str) -> str:
    """PromQL: percent, averaged over all samples of all GPUs of the request's pods, in all attempts.

    dcgm-exporter labels each GPU with the pod that uses it; a request's pods carry its name and the attempt's number.
    """
    pods = f"{naming.base_name(manifest.request)}-[0-9]+(-.+)?"
    series = f'DCGM_FI_DEV_GPU_UTIL{{namespace="{namespace}", pod=~"{pods}"}}'
    first, last = manifest.attempts[0], manifest.attempts[-1]
    window = max(_SHORTEST_WINDOW, math.ceil((last.ended or last.started) - first.started))
    return f"sum(sum_over_time({series}[{window}s])) / sum(count_over_time({series}[{window}s]))"


def gpu_utilisation(manifest: Manifest, namespace: str) -> float | str:
    """Percent from the first attempt's start to the last one's end, or "unknown: ..." with the reason."""
    try:
        percent = monitoring.value(utilisation_query(manifest, namespace), manifest.attempts[-1].ended)
    except StageError as error:
        return f"unknown: {error}"
    return "unknown: Prometheus has no samples of this request's pods" if percent is None else percent
