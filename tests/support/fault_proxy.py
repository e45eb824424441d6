"""A proxy before the API server, real or double, that fails on command: statuses, refusals, hangs, torn answers."""

import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import kubernetes
import urllib3

_NAMESPACED = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)/namespaces/[^/]+/(?P<plural>[a-z]+)(?P<name>/[^/?]+)?(?P<sub>/[a-z]+)?"
)
_VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}


class FaultProxy:
    """Forwards to a cluster. `fault` decides each request's fate: a status, "refuse", "hang", "tear" or None.

    `calls` holds (verb, API group, resource) of every namespaced call, as RBAC names them.
    """

    def __init__(self, upstream: kubernetes.client.Configuration):
        self.seen: Counter[str] = Counter()
        self.calls: set[tuple[str, str, str]] = set()
        self._until = 0.0
        self._fault: int | str | None = None
        self._only = ""
        self._over = threading.Event()
        self._pool = urllib3.PoolManager(
            cert_file=upstream.cert_file,
            key_file=upstream.key_file,
            ca_certs=upstream.ssl_ca_cert,
            retries=False,
            maxsize=20,
        )
        self._upstream = upstream.host.rstrip("/")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def fail(self, fault: int | str, seconds: float, only: str = "") -> None:
        """From now on and for so long, give requests whose URL has `only` in it this fate."""
        self._fault, self._only, self._until = fault, only, time.monotonic() + seconds

    def stop(self) -> None:
        """Stop serving; hanging requests end."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def fate(self, url: str) -> int | str | None:
        """What happens to this request."""
        fault = self._fault if time.monotonic() < self._until and self._only in url else None
        self.seen[str(fault)] += 1
        return fault

    def hang(self) -> None:
        """Hold a request without a word for as long as the fault lasts."""
        self._over.wait(max(0.0, self._until - time.monotonic()))

    def forward(self, method: str, url: str, headers: Any, body: bytes) -> urllib3.BaseHTTPResponse:
        """The cluster's own answer."""
        if match := _NAMESPACED.match(url):
            reading = ("watch" if "watch=true" in url.lower() else "list") if not match["name"] else "get"
            self.calls.add((_VERBS.get(method, reading), match["group"] or "", match["plural"] + (match["sub"] or "")))
        kept = {k: v for k, v in headers.items() if k.lower() not in ("host", "connection", "accept-encoding")}
        return self._pool.request(method, self._upstream + url, body=body or None, headers=kept)


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            """No access log."""

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fate = proxy.fate(self.path)
            if fate in ("refuse", "hang"):
                if fate == "hang":
                    proxy.hang()
                self.close_connection = True
                return
            if isinstance(fate, int):
                self._send(fate, b'{"kind": "Status", "message": "injected"}')
                return
            answer = proxy.forward(self.command, self.path, self.headers, body)
            self._send(answer.status, answer.data, torn=fate == "tear")

        def _send(self, status: int, data: bytes, torn: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if torn else data)
            self.close_connection = torn

        do_GET = do_POST = do_PATCH = do_DELETE = _do

    return Handler
