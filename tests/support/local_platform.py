"""A serving platform of this machine: a server process per version, and a small front that divides the traffic.

The front stands in for a cluster's gateway, so that canary and rollback are tested against real servers.
"""

import random
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from korean_llm_assets.serving.local_server import HOST, Server, transformers_serve

_TIMEOUT_SECONDS = 120


class LocalPlatform:
    """Implements `ServingPlatform`; `folder_of` gives a version's verified model folder."""

    def __init__(
        self,
        folder_of: Callable[[str], Path],
        logs: Path,
        port: int = 0,
        ready_seconds: float = 180,
        command: Callable[[Path, int], list[str]] = transformers_serve,
    ):
        self._folder_of, self._logs = folder_of, logs
        self.ready_seconds, self._command = ready_seconds, command
        self._servers: dict[str, Server] = {}
        self._front = _Front(port)

    @property
    def url(self) -> str:
        """The one address of whatever is served."""
        return f"http://{HOST}:{self._front.server_port}"

    def start(self, version: str) -> str:
        """A server of its own for this version."""
        if self.is_ready(version):
            return self._servers[version].url
        log = self._log(version)
        self._servers[version] = Server.start(
            self._folder_of(version), log, ready_seconds=self.ready_seconds, command=self._command
        )
        return self._servers[version].url

    def versions(self) -> list[str]:
        """Every version with a server, dead or alive."""
        return list(self._servers)

    def is_ready(self, version: str) -> bool:
        """True while the version's server runs: it is known only from when it answered."""
        server = self._servers.get(version)
        return server is not None and server.process.poll() is None

    def route(self, shares: dict[str, float]) -> None:
        """Divide new requests; those under way end where they began."""
        self._front.divide({version: (self._servers[version].url, share) for version, share in shares.items()})

    def requests(self, version: str) -> tuple[float, float]:
        """(failed, all) requests to the version since the last division."""
        return self._front.failed[version], self._front.total[version]

    def stop(self, version: str) -> None:
        """End the version's server, if it has one, after the requests that it is still answering."""
        self._front.drain(version)
        if server := self._servers.pop(version, None):
            server.stop()

    def logs(self, version: str) -> str:
        """The end of the version's log."""
        log = self._log(version)
        return log.read_text(encoding="utf-8", errors="replace")[-2000:] if log.exists() else ""

    def close(self) -> None:
        """End everything."""
        self._front.shutdown()
        self._front.server_close()
        for version in list(self._servers):
            self.stop(version)

    def _log(self, version: str) -> Path:
        return self._logs / f"{version}.log"


class _Front(ThreadingHTTPServer):
    """Passes each request to a version, drawn by its share."""

    daemon_threads = True

    def __init__(self, port: int):
        super().__init__((HOST, port), _Handler)
        self._targets: dict[str, tuple[str, float]] = {}
        self._draw = random.Random(0)
        self.total: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._busy: Counter[str] = Counter()
        self._changed = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def divide(self, targets: dict[str, tuple[str, float]]) -> None:
        with self._changed:
            self.total.clear()
            self.failed.clear()
            self._targets = targets

    @contextmanager
    def picked(self) -> Iterator[tuple[str, str] | None]:
        """(version, URL) for one request, which counts as under way inside; None where nothing is served."""
        with self._changed:
            targets = {version: target for version, target in self._targets.items() if target[1] > 0}
            if targets:
                version = self._draw.choices(list(targets), [share for _, share in targets.values()])[0]
                self.total[version] += 1
                self._busy[version] += 1
        if not targets:
            yield None
            return
        try:
            yield version, targets[version][0]
        finally:
            with self._changed:
                self._busy[version] -= 1
                self._changed.notify_all()

    def drain(self, version: str) -> None:
        """Wait until no request to the version is under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy[version], timeout=_TIMEOUT_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    server: _Front

    def do_GET(self) -> None:
        self._pass_on(None)

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _pass_on(self, body: bytes | None) -> None:
        with self.server.picked() as picked:
            if picked is None:
                self._answer(503, b'{"error": "nothing is served"}')
            else:
                self._ask(*picked, body)

    def _ask(self, version: str, url: str, body: bytes | None) -> None:
        request = urllib.request.Request(url + self.path, data=body, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
                self._answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            self.server.failed[version] += error.code >= 500
            self._answer(error.code, error.read())
        except (urllib.error.URLError, OSError) as error:
            self.server.failed[version] += 1
            self._answer(502, f'{{"error": "{type(error).__name__}"}}'.encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """The servers keep the log."""
