"""What stands before the local servers: no request may hold one for hours, fill the memory, or crowd out all others.

`transformers serve` takes a body of any size, any number of tokens, and all requests at once; it goes on generating
for a client that has gone.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from trainers.contract import ServiceMissing

MAX_BODY = 1 << 20
MAX_TOKENS = 2048
"""Of an answer; what asks for none gets at most this."""
AT_ONCE, WAITING = 4, 32
"""Requests that are answered at a time, and that may wait for it."""
_SECONDS = 600.0
_LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_OVERRIDES = ("generation_config",)
"""Keys by which `transformers serve` would take any length all the same."""
_START_SECONDS = 30.0


class Refused(Exception):
    """A request that is not passed on: status and reason."""

    def response(self) -> Response:
        """As OpenAI's API tells it."""
        status, why = self.args
        return JSONResponse({"error": {"message": why, "type": "invalid_request_error"}}, status)


class Front:
    """Passes requests on to servers, within bounds.

    Args:
        servers: addresses, by the model that each serves; the first one answers what names no model.
    """

    def __init__(self, servers: Mapping[str, str]):
        self._clients = {model: httpx.AsyncClient(base_url=url, timeout=_SECONDS) for model, url in servers.items()}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    def app(self, routes: Sequence[Route] = ()) -> Starlette:
        """The ASGI application, with routes of its own first; it answers under this machine's own names only."""
        own = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
        models, rest = Route("/v1/models", self._models), Route("/{path:path}", self._pass_on, methods=["GET", "POST"])
        return Starlette(routes=[*routes, models, rest], middleware=[own])

    def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": model, "object": "model"} for model in self._clients]})

    async def _pass_on(self, request: Request) -> Response:
        try:
            fields = _bounded(await json_body(request)) if request.method == "POST" else {}
            client = self._client_of(fields.pop("model", None))
            body = json.dumps(fields).encode() if fields else b""
            if self._waiting >= WAITING:
                raise Refused(429, f"{WAITING} requests wait already; come again")
        except Refused as refused:
            return refused.response()
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            headers = {"Content-Type": "application/json"} if body else {}
            passed = client.build_request(request.method, request.url.path, content=body, headers=headers)
            answer = await client.send(passed, stream=True)
        except BaseException as error:
            self._turn.release()
            if isinstance(error, httpx.HTTPError):
                return JSONResponse({"error": {"message": f"the server does not answer ({error!r})"}}, 502)
            raise
        return StreamingResponse(
            self._parts(answer), answer.status_code, media_type=answer.headers.get("content-type", "application/json")
        )

    def _client_of(self, model: Any) -> httpx.AsyncClient:
        """Of the server that a request names; it is asked without the name, which is ours and not its own."""
        if not model:
            return next(iter(self._clients.values()))
        if not isinstance(model, str) or model not in self._clients:
            raise Refused(404, f"no model of that name is served; these are: {', '.join(self._clients)}")
        return self._clients[model]

    async def _parts(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        """The answer as it comes; its turn ends with it."""
        try:
            async for part in answer.aiter_bytes():
                yield part
        finally:
            await answer.aclose()
            self._turn.release()


async def json_body(request: Request) -> dict[str, Any]:
    """The object that a request carries.

    Raises:
        Refused: it is longer than MAX_BODY, or no JSON object; or the page of another site makes a browser send it.
    """
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refused(403, f"the page that asks is of {origin!r}, not of this server")
    whole = b""
    async for part in request.stream():
        whole += part
        if len(whole) > MAX_BODY:
            raise Refused(413, f"a request may have {MAX_BODY >> 20} MiB")
    try:
        fields: Any = json.loads(whole)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the body is no JSON") from error
    if not isinstance(fields, dict):
        raise Refused(400, "the body is no JSON object")
    return fields


def _bounded(fields: dict[str, Any]) -> dict[str, Any]:
    """What is asked, with its lengths bounded.

    Raises:
        Refused: it asks for more than there is.
    """
    lengths = {name: fields[name] for name in _LENGTHS if fields.get(name) is not None}
    for name, value in lengths.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_TOKENS:
            raise Refused(400, f"{name} must be a number from 1 to {MAX_TOKENS}")
    if named := [name for name in _OVERRIDES if name in fields]:
        raise Refused(400, f"{named[0]} is not taken here")
    if fields.get("n") not in (None, 1):
        raise Refused(400, "n must be 1")
    return {**fields, **({} if lengths else {"max_tokens": MAX_TOKENS})}


@contextmanager
def fronting(app: Starlette, host: str, port: int) -> Iterator[str]:
    """Serve a front's application on a port while the context is open; gives its address.

    Raises:
        ServiceMissing: it does not start; the port may be taken.
    """
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, name="front", daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise ServiceMissing(f"nothing can be served on {host}:{port}; is the port taken?")
        time.sleep(0.05)
    try:
        yield f"http://{host}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
