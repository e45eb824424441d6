"""Dagster's web server behind a guard: `python -m korean_llm_assets.commands.webserver`, with its own options.

Dagster's server executes whatever reaches `/graphql`, mutations over GET included, and asks nobody from which page it
came: a picture in a text that an operator looks at, or any page that he has open beside it, could launch and wipe. The
guard lets pass what the UI itself sends. It asks nobody for a name: that is the ingress' business (oauth2-proxy).
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dagster import DagsterInstance
from dagster_webserver.cli import main
from dagster_webserver.webserver import DagsterWebserver
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from korean_llm_assets.home import Home
from trainers.contract import settings
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.page_filter import FILTER_SOURCE
from trainers.contract.page_links import PAGE, RELEASES, REPORTS, TRACKING

LOCAL = ("localhost", "127.0.0.1", "::1")
_READS = ("GET", "HEAD", "OPTIONS")
_GRAPHQL = "/graphql"
_PAGES = (settings.DAGSTER_URL, settings.DAGSTER_SERVER, settings.VIEWERS_URL)
_ARTIFACT = re.compile(r"[a-z_]+(/[A-Za-z0-9][A-Za-z0-9._-]*){0,2}/[0-9a-f]{64}")
_RELEASE, _RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), re.compile(r"[0-9a-f]{32}")
_NOTHING_ELSE_RUNS = (
    f"sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {FILTER_SOURCE}"
).encode()


class Guard:
    """ASGI layer: nothing changes by a link, by another site's page, or under a name that is not this server's.

    Args:
        app: what is guarded.
        hosts: names of this server; those of this machine always are.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()):
        self._app = app
        self._hosts = {*LOCAL, *hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403."""
        if (why := self._refusal(scope)) is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": why})
        else:
            await _answer(send, 403, b"text/plain", f"refused: {why}\n".encode())

    def _refusal(self, scope: Scope) -> str | None:
        if scope["type"] not in ("http", "websocket"):
            return None  # the server's own start and end
        is_graphql = scope["path"].rstrip("/").endswith(_GRAPHQL)
        method = scope.get("method", "")
        if is_graphql and method in _READS and "query" in parse_qs(scope["query_string"].decode("latin-1")):
            return "a query is sent by POST"
        if not is_graphql and method in _READS:
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get("host", ""), headers.get("origin")
        if _hostname(f"//{host}") not in self._hosts:
            return f"this server is not called {host!r} ({settings.DAGSTER_URL.name} names it)"
        if origin is not None and urlsplit(origin).netloc != host:
            return f"the page that asks is of {origin!r}, not of this server"
        return None


class Pages:
    """ASGI layer: our own pages, so that an asset's page can link to them: an artifact's report, a release, and, as
    a way on, a run of the tracker.

    A browser opens no file from a page of a server. What a page says comes from drops and models: it may fetch
    nothing and run nothing but its filter of tables (`contract/page.py` says so in it, and here the header does).
    """

    def __init__(self, app: ASGIApp, artifacts: Path):
        self._app, self._artifacts = app, artifacts
        self._pages = {REPORTS: self._report, RELEASES: self._release}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the page, or pass the request on."""
        kind, _, name = str(scope.get("path", "")).strip("/").partition("/")
        if scope["type"] != "http" or not name or kind not in (*self._pages, TRACKING):
            await self._app(scope, receive, send)
            return
        if kind == TRACKING and _RUN.fullmatch(name):
            page = f"{settings.MLFLOW_URL.get()}/#/runs/{name}"
            await _answer(send, 302, b"text/plain", b"", (b"location", page.encode()))
            return
        body = await run_in_threadpool(self._pages[kind], name) if kind in self._pages else None
        content_type = b"text/plain" if body is None else b"text/html; charset=utf-8"
        safe = ((b"content-security-policy", _NOTHING_ELSE_RUNS), (b"x-content-type-options", b"nosniff"))
        missing = b"there is no such page on this machine\n"
        await _answer(send, 404 if body is None else 200, content_type, missing if body is None else body, *safe)

    def _report(self, name: str) -> bytes | None:
        file = self._artifacts / name / PAGE
        return file.read_bytes() if _ARTIFACT.fullmatch(name) is not None and file.is_file() else None

    def _release(self, name: str) -> bytes | None:
        if not _RELEASE.fullmatch(name):
            return None
        from korean_llm_assets.assets.release_page import release_page  # reads the recipes, which the server need not

        with DagsterInstance.get() as instance:
            html = release_page(ArtifactStore(self._artifacts), instance, name)
        return html.encode() if html else None


async def _answer(send: Send, status: int, kind: bytes, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def guarded(middleware: list[Middleware]) -> list[Middleware]:
    """The server's layers with the guard before them; it is called as the settings of its pages say."""
    names = {_hostname(page.get() or "") for page in _PAGES}
    guard = Middleware(Guard, hosts=[name for name in names if name])
    return [guard, Middleware(Pages, artifacts=Home.from_environment().artifacts), *middleware]


def serve() -> None:
    """Dagster's own command line, guarded: it gives no place to add a layer."""
    layers = DagsterWebserver.build_middleware

    def build_middleware(self: Any) -> list[Middleware]:
        return guarded(layers(self))

    DagsterWebserver.build_middleware = build_middleware  # type: ignore[method-assign]
    main()


if __name__ == "__main__":
    serve()
