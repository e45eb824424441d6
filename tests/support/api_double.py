"""A small Kubernetes API server over HTTP: keeps objects, runs Jobs' containers as local processes.

It knows what the launcher's tests need and no more: Jobs with conditions in the controller's order, pods with
container states, events, logs, label and field selectors, foreground deletion, access reviews, one node with GPUs.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.api_double_jobs import JobController, stamp

Body = dict[str, Any]
_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)/namespaces/(?P<ns>[^/]+)/(?P<plural>[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>log|status|eviction))?"
)


class Refused(Exception):
    """An answer that is an error, as the API server words it."""

    def __init__(self, status: int, reason: str, message: str):
        super().__init__(message)
        self.body = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message}
        self.status = status


@dataclass
class Cluster:
    """All objects of the cluster, by (plural, namespace, name)."""

    folder: Path
    gpus: int = 8
    images: tuple[str, ...] = ("double.local/trainer:1",)
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    objects: dict[tuple[str, str, str], Body] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    created: list[str] = field(default_factory=list)
    version: int = 0

    def put(self, plural: str, body: Body) -> Body:
        """Store an object, new or changed."""
        with self.lock:
            self.version += 1
            metadata = body["metadata"]
            metadata["resourceVersion"] = str(self.version)
            self.objects[plural, metadata["namespace"], metadata["name"]] = body
            return body

    def create(self, plural: str, namespace: str, body: Body) -> Body:
        """Store a new object; 409 where the name is taken."""
        with self.lock:
            metadata = body["metadata"]
            if (plural, namespace, metadata["name"]) in self.objects:
                raise Refused(409, "AlreadyExists", f'{plural} "{metadata["name"]}" already exists')
            metadata |= {"namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
            self.created.append(f"{plural}/{metadata['name']}")
            return self.put(plural, {"status": {}, **body})

    def find(self, plural: str, namespace: str | None = None) -> list[Body]:
        """All objects of a kind."""
        with self.lock:
            return [body for (p, ns, _), body in self.objects.items() if p == plural and namespace in (None, ns)]

    def remove(self, plural: str, body: Body) -> None:
        """Forget an object."""
        with self.lock:
            self.objects.pop((plural, body["metadata"]["namespace"], body["metadata"]["name"]), None)

    def event(self, about: Body, reason: str, message: str) -> None:
        """Record a warning event."""
        name = f"{about['metadata']['name']}.{uuid.uuid4().hex[:8]}"
        self.create(
            "events",
            about["metadata"]["namespace"],
            {
                "metadata": {"name": name},
                "type": "Warning",
                "reason": reason,
                "message": message,
                "involvedObject": {"name": about["metadata"]["name"]},
            },
        )


class ApiDouble:
    """The server and its controllers, running until `stop`."""

    def __init__(self, folder: Path):
        self.cluster = Cluster(folder)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.cluster))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.jobs = JobController(self.cluster)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Stop serving and end every process that was started."""
        self.jobs.stop()
        self._server.shutdown()
        self._server.server_close()


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            """No access log."""

        def _answer(self, status: int, body: Body | str) -> None:
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            try:
                self._answer(*_serve(cluster, self.command, self.path, body))
            except Refused as refused:
                self._answer(refused.status, refused.body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        do_GET = do_POST = do_PATCH = do_DELETE = _do

    return Handler


def _serve(cluster: Cluster, method: str, url: str, body: Body) -> tuple[int, Body | str]:
    parts = urlsplit(url)
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    if parts.path.endswith("/selfsubjectaccessreviews"):
        attributes = body["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (attributes["resource"], attributes.get("subresource"))))
        return 201, {
            **body,
            "metadata": {},
            "status": {"allowed": (attributes["verb"], resource) not in cluster.forbidden},
        }
    match = _PATH.fullmatch(parts.path)
    if match is None:
        raise Refused(404, "NotFound", f"the server could not find the requested resource {parts.path}")
    verb = {"GET": "get" if match["name"] else "list", "POST": "create", "PATCH": "patch", "DELETE": "delete"}[method]
    if (verb, "/".join(filter(None, (match["plural"], match["sub"])))) in cluster.forbidden:
        what = f'{match["plural"]} is forbidden: User "tester" cannot {verb} resource "{match["plural"]}"'
        raise Refused(
            403, "Forbidden", f'{what} in API group "{match["group"] or ""}" in the namespace "{match["ns"]}"'
        )
    with cluster.lock:
        return _ANSWERS[verb](cluster, match, query, body)


def _existing(cluster: Cluster, match: re.Match[str]) -> Body:
    existing = cluster.objects.get((match["plural"], match["ns"], match["name"]))
    if existing is None:
        raise Refused(404, "NotFound", f'{match["plural"]} "{match["name"]}" not found')
    return existing


def _get(cluster: Cluster, match: re.Match[str], query: dict[str, str], body: Body) -> tuple[int, Body | str]:
    existing = _existing(cluster, match)
    if match["sub"] != "log":
        return 200, existing
    path = cluster.folder / f"{match['name']}.log"
    if not path.exists():
        raise Refused(400, "BadRequest", f'container "trainer" in pod "{match["name"]}" is waiting to start')
    lines = path.read_text(errors="replace").splitlines(keepends=True)
    since = stamp(time.time() - int(query["sinceSeconds"])) if "sinceSeconds" in query else ""
    kept = [line for line in lines if line >= since]
    kept = kept[-int(query["tailLines"]) :] if "tailLines" in query else kept
    return 200, "".join(kept if query.get("timestamps") else [line.partition(" ")[2] for line in kept])


def _list(cluster: Cluster, match: re.Match[str], query: dict[str, str], body: Body) -> tuple[int, Body]:
    wanted = [term.partition("=")[::2] for term in query.get("labelSelector", "").split(",") if term]
    fields = [term.partition("=")[::2] for term in query.get("fieldSelector", "").split(",") if term]
    items = [
        {key: value for key, value in each.items() if key not in ("kind", "apiVersion")}  # as the real one answers
        for each in cluster.find(match["plural"], match["ns"])
        if all(each["metadata"].get("labels", {}).get(key) == value.lstrip("=") for key, value in wanted)
        and all(_field(each, key) == value for key, value in fields)
    ]
    return 200, {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}


def _field(body: Any, path: str) -> Any:
    for key in path.split("."):
        body = body.get(key, {})
    return body


def _create(cluster: Cluster, match: re.Match[str], query: dict[str, str], body: Body) -> tuple[int, Body]:
    if match["sub"] == "eviction":
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        pod = _existing(cluster, match)
        pod["status"].setdefault("conditions", []).append(condition)
        return _delete(cluster, match, query, {})
    for container in body.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
        resources = container.get("resources", {})
        if "nvidia.com/gpu" in resources.get("requests", {}) and "nvidia.com/gpu" not in resources.get("limits", {}):
            raise Refused(422, "Invalid", "Limit must be set for non overcommitable resources")
    return 201, cluster.create(match["plural"], match["ns"], body)


def _patch(cluster: Cluster, match: re.Match[str], query: dict[str, str], body: Body) -> tuple[int, Body]:
    existing = _existing(cluster, match)
    _merge(existing, body)
    return 200, cluster.put(match["plural"], existing)


def _merge(into: Body, patch: Body) -> None:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _delete(cluster: Cluster, match: re.Match[str], query: dict[str, str], body: Body) -> tuple[int, Body]:
    existing = _existing(cluster, match)
    uid = (body.get("preconditions") or {}).get("uid")
    if uid not in (None, existing["metadata"]["uid"]):
        raise Refused(409, "Conflict", f"Precondition failed: UID in precondition: {uid}")
    if match["plural"] in ("jobs", "pods"):
        existing["metadata"].setdefault("deletionTimestamp", stamp())
        existing["metadata"]["deletionGracePeriodSeconds"] = body.get("gracePeriodSeconds")
        cluster.put(match["plural"], existing)
    else:
        cluster.remove(match["plural"], existing)
    return 200, existing


_ANSWERS: dict[str, Callable[..., tuple[int, Body | str]]] = {
    "get": _get,
    "list": _list,
    "create": _create,
    "patch": _patch,
    "delete": _delete,
}
