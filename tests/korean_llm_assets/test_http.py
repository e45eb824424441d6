"""Calls to other services: what is read, and how every trouble is told without a secret."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from korean_llm_assets.http import get_json, is_up, post_json
from trainers.contract import ServiceMissing
from trainers.contract.redaction import redacted

CANARY = "canary-7f3a"


class Service(ThreadingHTTPServer):
    """Answers with a status and a text; keeps what it was sent."""

    def __init__(self) -> None:
        self.status, self.text, self.received = 200, "{}", [""]
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://user:{CANARY}@127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.received = [self.path, str(self.headers["Authorization"])]
        self.answer()

    def do_POST(self) -> None:
        self.server.received = [self.path, self.rfile.read(int(self.headers["Content-Length"])).decode()]
        self.answer()

    def answer(self) -> None:
        if self.server.status == 302 and self.path != "/new":
            self.send_response(302)
            self.send_header("Location", "/new")
        else:
            self.send_response(200 if self.server.status == 302 else self.server.status)
        self.end_headers()
        self.wfile.write(self.server.text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_json_is_sent_and_read(service: Service) -> None:
    service.text = '{"말": ["안녕"]}'
    assert get_json("it", f"{service.url}/api", {"query": "a{b='c'}"}) == {"말": ["안녕"]}
    path, authorization = service.received
    assert path == "/api?query=a%7Bb%3D%27c%27%7D" and authorization.startswith("Basic ")
    post_json("it", f"{service.url}/api", {"물음": 1})
    assert json.loads(service.received[1]) == {"물음": 1}


def test_a_page_that_moved_is_followed(service: Service) -> None:
    service.status = 302
    assert is_up(service.url)
    assert service.received[0] == "/new"


@pytest.mark.parametrize(("status", "text", "reason"), [(503, "과부하", "HTTP 503: '과부하'"), (200, "<html>", "JSON")])
def test_a_refusal_and_what_is_no_json_are_told(service: Service, status: int, text: str, reason: str) -> None:
    service.status, service.text = status, text
    with pytest.raises(ServiceMissing, match=rf"^it at http://127\.0\.0\.1:\d+/api does not answer: .*{reason}"):
        get_json("it", f"{service.url}/api?key={CANARY}")
    assert is_up(service.url) == (status == 200)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{CANARY}@127.0.0.1:1/?token={CANARY}",
        f"http://user:{CANARY}/a@127.0.0.1:1/",
        f"http://user:{CANARY}#?@127.0.0.1/",
        f"user:{CANARY}@nowhere",
        f"http://[{CANARY}@::/",
        f"//user:{CANARY}@nowhere",
        "no address at all",
        "",
    ],
)
def test_no_trouble_repeats_what_is_secret(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(ServiceMissing) as trouble:
        get_json("it", url)
    assert "does not answer" in str(trouble.value)
    assert not is_up(url)
    assert CANARY not in str(trouble.value) + caplog.text


def test_an_answer_is_logged_without_its_address(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        get_json("it", f"{service.url}/?token={CANARY}")
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a.b:9090/api?q=1#f", "http://a.b:9090/api"),
        ("https://user:p@ss@a.b/x", "https://a.b/x"),
        ("http://a.b", "http://a.b"),
    ],
)
def test_an_address_is_shown_without_user_and_query(url: str, shown: str) -> None:
    assert redacted(url) == shown
