"""The few calls to the Kubernetes API that the launcher makes, each with time limits, retries and errors in words."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import kubernetes
from kubernetes.client import ApiClient, ApiException, AuthorizationV1Api, CoreV1Api, CustomObjectsApi
from urllib3.exceptions import HTTPError

from korean_llm_assets.compute.cluster.workloads import Body, Workload
from trainers.contract import BadRequest, ServiceMissing

_T = TypeVar("_T")

_TIMEOUT = (3, 10)
"""Seconds to connect, and to wait for the next bytes: the client's own defaults wait for ever."""
_PASSING = {401, 408, 410, 429, 500, 502, 503, 504}
"""Statuses that an API server gives while it restarts, is overloaded, or a token is being renewed."""
_FIRST_PAUSE, _TELL_AFTER, _LONGEST_PAUSE = 0.5, 2.0, 10.0
"""Seconds between tries, doubled each time; from the third try on it is an outage that is worth a line."""


class Unreachable(ServiceMissing):
    """The API server did not answer for as long as we were ready to wait."""


class Forbidden(ServiceMissing):
    """RBAC does not allow a call; the message names verb and resource."""


@dataclass(frozen=True)
class Clock:
    """Time, so that a test can pass a day in a moment."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def connect(context: str | None = None) -> ApiClient:
    """A client for the cluster we are in, or for the kubeconfig's.

    Raises:
        ServiceMissing: neither is there.
    """
    configuration = kubernetes.client.Configuration()
    try:
        try:
            kubernetes.config.load_incluster_config(client_configuration=configuration)
        except kubernetes.config.ConfigException:
            kubernetes.config.load_kube_config(context=context, client_configuration=configuration)
    except (kubernetes.config.ConfigException, OSError) as error:
        raise ServiceMissing(
            f"no Kubernetes cluster is configured: {error}. Inside a cluster the pod needs a service account; outside, "
            "set KUBECONFIG (and the profile's `context`)."
        ) from error
    configuration.retries = False  # urllib3's own would hide and prolong every outage
    return ApiClient(configuration)


class KubeApi:
    """One namespace of one cluster, seen as plain dictionaries."""

    def __init__(
        self,
        client: ApiClient,
        namespace: str,
        patience: float = 60,
        clock: Clock | None = None,
        on_outage: Callable[[str], None] | None = None,
    ):
        self.namespace = namespace
        self.patience = patience
        self._client = client
        self._clock = clock or Clock()
        self._on_outage = on_outage
        self._host = client.configuration.host
        self._core = CoreV1Api(client)
        self._custom = CustomObjectsApi(client)
        self._authorization = AuthorizationV1Api(client)

    def with_patience(self, patience: float, on_outage: Callable[[str], None]) -> "KubeApi":
        """The same, but ready to wait this long; `on_outage` is told once per outage, and when it is over."""
        return KubeApi(self._client, self.namespace, patience, self._clock, on_outage)

    def get(self, kind: Workload, name: str) -> Body | None:
        """A workload, or None where there is none."""
        return self._ask_or_none("get", kind.resource, lambda: self._of(kind, "get", name))

    def find(self, kind: Workload, selector: str) -> list[Body]:
        """The workloads that match a label selector."""
        listing = self._ask("list", kind.resource, lambda: self._of(kind, "list", label_selector=selector))
        return [{**item, "kind": kind.kind} for item in listing["items"]]  # a real server's list names no kinds

    def create(self, kind: Workload, body: Body) -> bool:
        """Create a workload; False where the name is taken or the answer was lost: read again, then decide."""
        try:
            self._of(kind, "create", body)
        except ApiException as error:
            if error.status == 409 or error.status in _PASSING:
                return False
            raise self._in_words(error, "create", kind.resource) from error
        except HTTPError:
            return False
        return True

    def delete(self, kind: Workload, name: str, uid: str) -> None:
        """Delete exactly this workload: its pods first, each with its grace period."""
        options = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        try:
            self._ask_or_none("delete", kind.resource, lambda: self._of(kind, "delete", name, body=options))
        except BadRequest as error:
            if not isinstance(error.__cause__, ApiException) or error.__cause__.status != 409:
                raise  # 409: the name belongs to another one by now, which is not ours to delete

    def annotate(self, kind: Workload, name: str, annotations: dict[str, str]) -> None:
        """Set annotations of a workload."""
        patch = {"metadata": {"annotations": annotations}}
        self._ask_or_none("patch", kind.resource, lambda: self._of(kind, "patch", name, patch))

    def create_service(self, body: Body) -> None:
        """Create a Service that may be there already."""
        try:
            self._ask("create", "services", lambda: self._core.create_namespaced_service(self.namespace, body))
        except BadRequest as error:
            if not isinstance(error.__cause__, ApiException) or error.__cause__.status != 409:
                raise

    def pods(self, selector: str) -> list[Body]:
        """The pods that match a label selector."""
        return self._items("list", "pods", self._core.list_namespaced_pod, label_selector=selector)

    def warnings(self, names: Iterable[str]) -> list[str]:
        """Messages of the warning events of these objects, oldest first, each once."""
        messages: list[str] = []
        for name in names:
            selector = f"involvedObject.name={name},type=Warning"
            for event in self._items("list", "events", self._core.list_namespaced_event, field_selector=selector):
                line = f"{event.get('reason')}: {event.get('message')}"
                if line not in messages:
                    messages.append(line)
        return messages

    def log(self, pod: str, container: str, since_seconds: int | None, tail: int | None = None) -> str:
        """A container's log lines, each with its time. One call, not a stream; raises what the client raises."""
        options: Body = {"since_seconds": since_seconds} if since_seconds else {}
        if tail:
            options["tail_lines"] = tail
        answer = self._core.read_namespaced_pod_log(
            pod,
            self.namespace,
            container=container,
            timestamps=True,
            _request_timeout=_TIMEOUT,
            _preload_content=False,
            **options,
        )
        return str(answer.data.decode(errors="replace"))

    def has(self, what: str, name: str) -> bool:
        """Whether a Secret, PersistentVolumeClaim or ServiceAccount exists. Of a Secret no value is fetched."""
        path = f"/api/v1/namespaces/{self.namespace}/{what}/{name}"
        accept = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}

        def call() -> Body:
            answer = self._core.api_client.call_api(
                path,
                "GET",
                header_params=accept,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=_TIMEOUT,
            )
            body: Body = json.loads(answer.data)
            return body

        return self._ask_or_none("get", what, call) is not None

    def may(self, verb: str, group: str, resource: str) -> bool:
        """Whether RBAC lets us do this (a self subject access review: anybody may ask about themselves)."""
        name, _, subresource = resource.partition("/")
        attributes = {"namespace": self.namespace, "verb": verb, "group": group, "resource": name}
        review = {"spec": {"resourceAttributes": {**attributes, "subresource": subresource}}}
        answer = self._ask(
            "create",
            "selfsubjectaccessreviews",
            lambda: self._authorization.create_self_subject_access_review(review, _request_timeout=_TIMEOUT),
        )
        return bool(answer.status.allowed)

    def local_queue(self, name: str) -> Body | None:
        """A Kueue LocalQueue; None where there is none, or no Kueue."""
        return self.get(Workload("LocalQueue", "kueue.x-k8s.io", "v1beta2", "localqueues", "", "", ()), name)

    def queue_entries(self, uid: str) -> list[Body]:
        """Kueue's Workload objects of a workload; empty where Kueue is absent or we may not look."""
        kueue = Workload("Workload", "kueue.x-k8s.io", "v1beta2", "workloads", "Finished", "", ())
        try:
            return self.find(kueue, f"kueue.x-k8s.io/job-uid={uid}")
        except (Forbidden, BadRequest):
            return []

    def _of(self, kind: Workload, verb: str, *arguments: Any, **options: Any) -> Body:
        method = getattr(self._custom, f"{verb}_namespaced_custom_object")
        answer: Body = method(
            kind.group, kind.version, self.namespace, kind.plural, *arguments, _request_timeout=_TIMEOUT, **options
        )
        return answer

    def _items(self, verb: str, resource: str, method: Callable[..., Any], **options: Any) -> list[Body]:
        def call() -> Body:
            answer = method(self.namespace, _request_timeout=_TIMEOUT, _preload_content=False, **options)
            body: Body = json.loads(answer.data)
            return body

        return list(self._ask(verb, resource, call)["items"])

    def _ask_or_none(self, verb: str, resource: str, call: Callable[[], _T]) -> _T | None:
        try:
            return self._ask(verb, resource, call)
        except BadRequest as error:
            if isinstance(error.__cause__, ApiException) and error.__cause__.status == 404:
                return None
            raise

    def _ask(self, verb: str, resource: str, call: Callable[[], _T]) -> _T:
        """Make a call; what passes by itself is tried again for `patience` seconds."""
        started, pause = self._clock.now(), _FIRST_PAUSE
        while True:
            try:
                answer = call()
                if pause > _TELL_AFTER and self._on_outage:
                    self._on_outage(f"the Kubernetes API answers again after {self._clock.now() - started:.0f} s")
                return answer
            except (HTTPError, ApiException, ValueError) as error:  # ValueError: half a JSON answer
                if isinstance(error, ApiException) and error.status not in _PASSING:
                    raise self._in_words(error, verb, resource) from error
                if self._clock.now() - started > self.patience:
                    raise Unreachable(
                        f"the Kubernetes API at {self._host} did not answer for {self.patience:g} s "
                        f"({verb} {resource}: {_short(error)}). Check that the cluster is up and KUBECONFIG is right; "
                        "a Job that runs goes on, and the next run attaches to it."
                    ) from error
                if pause == _TELL_AFTER and self._on_outage:
                    self._on_outage(f"the Kubernetes API does not answer ({_short(error)}); the Job goes on")
            self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _in_words(self, error: ApiException, verb: str, resource: str) -> Exception:
        try:
            reason = json.loads(error.body or "{}").get("message") or error.reason
        except ValueError:
            reason = error.reason
        if error.status == 403 and "quota" not in str(reason):
            return Forbidden(
                f"not allowed to {verb} {resource} in namespace {self.namespace!r}: the service account's Role lacks "
                f"the verb {verb!r} (dagster_deploy/chart/templates/rbac.yaml). The API server said: {reason}"
            )
        return BadRequest(f"{verb} {resource} in namespace {self.namespace!r}: {reason}")


def _short(error: Exception) -> str:
    return f"{error.status} {error.reason}" if isinstance(error, ApiException) else f"{type(error).__name__}: {error}"
