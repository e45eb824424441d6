"""An HTTP receiver of alerts that fails in every way, and an alert to send it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from typing import Any
from urllib.parse import parse_qs

import pytest
from apprise.plugins.slack import NotifySlack

from korean_llm_assets.alerts import Alert

CANARY = "canary7f3a"
"""Stands for whatever is secret in a channel's address."""
ALERT = Alert(
    "failure:training tiny|r1:1", "failure", "[실패] 손실이 NaN", "[failed] loss is NaN", "http://dagster/runs/1"
)


class Receiver(ThreadingHTTPServer):
    """Keeps what it got; behaves as told."""

    behaviour: str = "ok"

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.held, self.over = 0, threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server_port}"
        self.url = f"http://{self.place}/{CANARY}?sig=a%2Fb"


class Handler(BaseHTTPRequestHandler):
    """One POST, answered as the receiver was told to."""

    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        behaviour = self.server.behaviour  # a test may change it as soon as it has its answer
        match behaviour:
            case "hang" | "drip":
                self.server.held += 1
                self._hold(drips=behaviour == "drip")
                self.server.held -= 1
                return
            case "close":
                self.connection.close()
                return
            case "ok" | "refuse" | "garbage":
                self.send_response(200)
            case code:
                self.send_response(int(code))
        self.end_headers()
        answers = {"ok": b'{"ok": true}', "refuse": b'{"ok": false, "error": "channel_not_found"}'}
        self.wfile.write(answers.get(behaviour, b"<html>"))
        if behaviour == "ok":
            self.server.paths.append(self.path)
            self.server.got.append({**self._read(body), "authorization": self.headers.get("Authorization", "")})

    def _read(self, body: bytes) -> dict[str, Any]:
        if "json" in self.headers["Content-Type"]:
            return dict(json.loads(body))
        return {key: values[0] for key, values in parse_qs(body.decode()).items()}

    def _hold(self, drips: bool) -> None:
        """Answer nothing, or byte after byte of a header that never ends, until the test is over."""
        for byte in chain(b"HTTP/1.1 200 OK\r\nX-Slow: ", repeat(ord("z"), 600)):
            if drips:
                self.wfile.write(bytes([byte]))
            if self.server.over.wait(0.05):
                return

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


@contextmanager
def receiving(behaviour: str = "ok") -> Iterator[Receiver]:
    """A receiver that runs; what it still holds is let go at the end."""
    with Receiver() as server:
        server.behaviour = behaviour
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


@contextmanager
def slack_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that is Slack, too."""
    with receiving() as server:
        monkeypatch.setattr(NotifySlack, "api_url", f"http://{server.place}/{{}}")
        monkeypatch.setattr(NotifySlack, "webhook_url", f"http://{server.place}/services")
        yield server
