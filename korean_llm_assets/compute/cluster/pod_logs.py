"""Pod logs, as well as they can be had: fetched in pieces on a side thread, which nothing waits for."""

import time
from queue import Empty, SimpleQueue
from threading import Event, Thread

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from korean_llm_assets.compute.cluster.job_spec import CONTAINER
from korean_llm_assets.compute.cluster.kube_api import KubeApi

_CONTAINERS = {"PyTorchJob": "pytorch", "TrainJob": "node"}
_TAIL_ON_ATTACH = 200


class PodLogs:
    """Fetches new lines of the pods it is told of. A frozen or dropped answer costs lines at worst, never the run.

    It asks again and again instead of holding a stream: there is no stream to freeze, and each line is known by its
    time, so that none is shown twice.
    """

    def __init__(self, api: KubeApi, kind: str, every: float):
        self._api = api
        self._container = _CONTAINERS.get(kind, CONTAINER)
        self._every = every
        self._pods: dict[str, str] = {}
        self._fetched: dict[str, float] = {}
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._over = Event()
        Thread(target=self._run, name="pod logs", daemon=True).start()

    def watch(self, pod: str) -> None:
        """Begin to fetch this pod's lines."""
        self._pods.setdefault(pod, "")

    def drain(self) -> list[str]:
        """The lines that came since the last call."""
        lines = []
        while True:
            try:
                lines.append(self._lines.get_nowait())
            except Empty:
                return lines

    def close(self) -> None:
        """Stop fetching. Does not wait for a call that hangs."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(self._every):
            for pod in list(self._pods):
                try:
                    self._fetch(pod)
                except (HTTPError, ApiException, OSError):
                    continue  # not started yet, gone, or the server is busy: the next round asks again

    def _fetch(self, pod: str) -> None:
        last, now = self._fetched.get(pod), time.monotonic()
        since = None if last is None else int(now - last) + 2
        text = self._api.log(pod, self._container, since, tail=_TAIL_ON_ATTACH if last is None else None)
        self._fetched[pod] = now
        for line in text.splitlines():
            stamp, _, words = line.partition(" ")
            if stamp > self._pods[pod]:
                self._pods[pod] = stamp
                self._lines.put(words)
