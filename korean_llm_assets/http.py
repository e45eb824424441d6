"""HTTP to other services: one client, a time limit on every call, and trouble in words that repeat no secret."""

import logging
from typing import Any

import httpx

from trainers.contract import ServiceMissing
from trainers.contract.redaction import redacted

_SECONDS = 10.0
_QUOTED = 200
"""Characters of a refusal's body that are repeated."""
# No connection is kept: calls are rare, and a kept one may be closed by the other side just as it is used again.
_CLIENT = httpx.Client(follow_redirects=True, limits=httpx.Limits(max_keepalive_connections=0))
logging.getLogger("httpx").setLevel(logging.WARNING)  # below, it writes whole addresses into the log


def get_json(service: str, url: str, params: dict[str, Any] | None = None, seconds: float = _SECONDS) -> Any:
    """GET an address and read its JSON.

    Args:
        service: who is asked, as people call it.
        url: the address; http or https.
        params: added to the address as its query.
        seconds: to wait for the connection, and for each next part of the answer.

    Raises:
        ServiceMissing: no connection, no answer in time, a status of 400 or more, or no JSON.
    """
    return _json(service, "GET", url, seconds, params=params)


def post_json(service: str, url: str, body: Any, seconds: float = _SECONDS) -> Any:
    """POST a JSON body and read the JSON that is answered; arguments and errors are those of `get_json`."""
    return _json(service, "POST", url, seconds, json=body)


def is_up(url: str, seconds: float = 5) -> bool:
    """True where an address answers with a status of success."""
    try:
        return _CLIENT.get(url, timeout=seconds).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _json(service: str, method: str, url: str, seconds: float, **content: Any) -> Any:
    try:
        response = _CLIENT.request(method, url, timeout=seconds, **content)
        if response.is_success:
            return response.json()
        reason = f"HTTP {response.status_code}: {response.text[:_QUOTED]!r}"
    except httpx.InvalidURL:
        reason = "this is no address"  # the error itself quotes what may be a part of the password
    except (httpx.HTTPError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise ServiceMissing(f"{service} at {redacted(url)} does not answer: {reason}")
