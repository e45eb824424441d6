"""Pods of a real cluster that no node runs: their status is written as a kubelet would, so that real controllers go on.

The pods name a scheduler that nobody is (`Installed.profile`), so no real kubelet contradicts.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from kubernetes.client import ApiClient, ApiException, CoreV1Api

_TICK = 0.3
_GONE = (404, 409)


@contextmanager
def pretended_pods(admin: ApiClient, namespace: str, seconds: Callable[[Any], float]) -> Iterator[None]:
    """Every pod of the namespace runs as soon as it is there, and ends well.

    Args:
        seconds: how long a pod runs; infinity for ever.
    """
    over = threading.Event()

    def run() -> None:
        core, started = CoreV1Api(admin), {}
        while not over.wait(_TICK):
            for pod in core.list_namespaced_pod(namespace).items:
                _step(core, pod, started, seconds)

    with ThreadPoolExecutor(1) as pool:
        kubelet = pool.submit(run)
        try:
            yield
        finally:
            over.set()
        kubelet.result()  # what went wrong there is why the test saw nothing happen


def _step(core: CoreV1Api, pod: Any, started: dict[str, float], seconds: Callable[[Any], float]) -> None:
    uid, phase = pod.metadata.uid, pod.status.phase
    if pod.metadata.deletion_timestamp is not None or phase in ("Succeeded", "Failed"):
        return
    if phase == "Pending":
        started[uid] = time.monotonic()
        state = {"running": {"startedAt": _now()}}
    elif time.monotonic() - started.setdefault(uid, time.monotonic()) >= seconds(pod):
        state = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": _now(), "finishedAt": _now()}}
    else:
        return
    runs = "running" in state
    containers = [
        {"name": each.name, "image": each.image, "imageID": "", "ready": runs, "restartCount": 0, "state": state}
        for each in pod.spec.containers
    ]
    status = {
        "phase": "Running" if runs else "Succeeded",
        "startTime": _now(),
        "conditions": [{"type": "Ready", "status": "True" if runs else "False"}],
        "containerStatuses": containers,
    }
    try:
        core.patch_namespaced_pod_status(pod.metadata.name, pod.metadata.namespace, {"status": status})
    except ApiException as error:
        if error.status not in _GONE:
            raise


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
