"""The guard before Dagster's web server: what other pages, links and names could do is refused; the UI's own passes."""

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from korean_llm_assets.commands.webserver import guarded
from korean_llm_assets.home import Home
from trainers.contract.page_filter import FILTER_SOURCE
from trainers.contract.page_links import RELEASES, TRACKING, release_link, tracking_link

HERE = "http://127.0.0.1:3000"
PUBLIC = "https://llm.example.com"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("KOREAN_LLM_DAGSTER_URL", PUBLIC)

    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse("passed")

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="graphql-ws")
        await websocket.send_text("passed")
        await websocket.close()

    methods = ["GET", "POST"]
    routes = [Route(path, page, methods=methods) for path in ("/graphql", "/prefix/graphql", "/", "/report_asset/x")]
    app = Starlette(routes=[*routes, WebSocketRoute("/graphql", socket)], middleware=guarded([]))
    return TestClient(app, base_url=HERE)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/graphql", {}),  # a command line
        ("POST", "/graphql", {"origin": HERE}),
        ("POST", "/graphql", {"host": "llm.example.com", "origin": PUBLIC}),  # behind the ingress
        ("POST", "/graphql", {"host": "localhost:3000", "origin": "http://localhost:3000"}),
        ("POST", "/report_asset/x", {"origin": HERE}),
        ("GET", "/graphql", {"accept": "text/html"}),  # the playground
        ("GET", "/", {"host": "10.0.0.7"}),  # the kubelet's probe
        ("GET", "/", {"referer": "http://evil.example/"}),  # a link to the UI
    ],
)
def test_what_the_ui_sends_passes(client: TestClient, method: str, path: str, headers: dict[str, str]) -> None:
    assert client.request(method, path, headers=headers).text == "passed"


@pytest.mark.parametrize(
    ("method", "path", "headers", "why"),
    [
        ("GET", "/graphql?query=mutation%7Bwipe%7D", {}, "a query is sent by POST"),  # a picture in a sample
        ("GET", "/graphql/?a=1&query=x", {"origin": HERE}, "a query is sent by POST"),
        ("GET", "/prefix/graphql?query=x", {}, "a query is sent by POST"),
        ("HEAD", "/graphql?query=x", {}, ""),
        ("POST", "/graphql", {"origin": "http://evil.example"}, "not of this server"),
        ("POST", "/graphql", {"origin": "null"}, "not of this server"),  # a sandboxed frame, a file
        ("POST", "/graphql", {"origin": "http://127.0.0.1:5000"}, "not of this server"),  # another server of here
        ("POST", "/graphql?query=x", {"origin": PUBLIC}, "not of this server"),
        ("POST", "/graphql", {"host": "evil.example", "origin": "http://evil.example"}, "is not called 'evil.example'"),
        ("POST", "/graphql", {"host": "[::1"}, "is not called"),
        ("POST", "/report_asset/x", {"origin": "http://evil.example"}, "not of this server"),
    ],
)
def test_what_another_page_could_make_a_browser_send_is_refused(
    client: TestClient, method: str, path: str, headers: dict[str, str], why: str
) -> None:
    answer = client.request(method, path, headers=headers)
    assert answer.status_code == 403 and why in answer.text


def test_a_foreign_page_opens_no_socket(client: TestClient) -> None:
    with client.websocket_connect("/graphql", headers={"origin": HERE, "host": "127.0.0.1:3000"}) as socket:
        assert socket.receive_text() == "passed"
    for headers in ({"origin": "http://evil.example", "host": "127.0.0.1:3000"}, {"host": "evil.example"}):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/graphql", headers=headers):
            pass


def test_a_report_is_shown_and_nothing_else_of_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KOREAN_LLM_HOME", str(tmp_path))
    artifact = tmp_path / "artifacts" / "eval_report" / "tiny" / "r1" / ("a" * 64)
    artifact.mkdir(parents=True)
    (artifact / "report.html").write_text("<p>보고서</p>", encoding="utf-8")
    (artifact / "manifest.json").write_text("{}")
    client = TestClient(Starlette(middleware=guarded([])), base_url=HERE)
    shown = client.get(f"/reports/eval_report/tiny/r1/{'a' * 64}")
    assert shown.text == "<p>보고서</p>" and shown.headers["content-type"] == "text/html; charset=utf-8"
    policy = shown.headers["content-security-policy"]
    assert "sandbox allow-scripts; default-src 'none'" in policy and f"script-src {FILTER_SOURCE}" in policy
    for path in ("manifest.json", "../" + "a" * 64, "%2e%2e/%2e%2e/x", "", "b" * 64):
        assert client.get(f"/reports/eval_report/tiny/r1/{path}").status_code == 404, path


def test_a_release_has_a_page_and_a_run_of_the_tracker_a_way_to_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOREAN_LLM_MLFLOW_URL", "https://mlflow.example.com")
    monkeypatch.setattr(
        "korean_llm_assets.assets.release_page.release_page", lambda store, instance, name: f"<p>{name}"
    )
    client = TestClient(Starlette(middleware=guarded([])), base_url=HERE, follow_redirects=False)
    shown = client.get(release_link("2026-12"))
    assert shown.text == "<p>2026-12" and "default-src 'none'" in shown.headers["content-security-policy"]
    for name in ("", "..", "a/b", "%2e%2e%2fx", "한글"):
        assert client.get(f"/{RELEASES}/{name}").status_code == 404, name
    led = client.get(tracking_link("a" * 32))
    assert (led.status_code, led.headers["location"]) == (302, f"https://mlflow.example.com/#/runs/{'a' * 32}")
    assert client.get(f"/{TRACKING}/https://evil.example").status_code == 404
