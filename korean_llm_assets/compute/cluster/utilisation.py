"""How busy the GPUs of a request were, asked of Prometheus: a number, or why it is unknown. Never fails a run.

KOREAN_LLM_PROMETHEUS_URL   the server that scrapes dcgm-exporter
"""

import http.client
import json
import math
import os
from urllib.parse import urlencode
from urllib.request import urlopen

from korean_llm_assets.compute.cluster import naming
from trainers.contract import Manifest

_TIMEOUT_SECONDS = 10
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
    page = os.environ.get("KOREAN_LLM_PROMETHEUS_URL")
    if not page:
        return "unknown: KOREAN_LLM_PROMETHEUS_URL is not set"
    asked = {"query": utilisation_query(manifest, namespace), "time": manifest.attempts[-1].ended}
    try:
        with urlopen(f"{page.rstrip('/')}/api/v1/query?{urlencode(asked)}", timeout=_TIMEOUT_SECONDS) as answer:
            found = json.load(answer)["data"]["result"]
            return float(found[0]["value"][1]) if found else "unknown: Prometheus has no samples of this request's pods"
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        return f"unknown: Prometheus at {page} gave no answer ({type(error).__name__}: {error})"
