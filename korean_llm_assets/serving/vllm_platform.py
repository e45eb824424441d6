"""The cluster's `ServingPlatform`: over the Kubernetes API, with the objects of vllm_manifests.py."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes.client import ApiException, AppsV1Api, CoreV1Api, CustomObjectsApi
from urllib3.exceptions import HTTPError

from korean_llm_assets.compute.cluster import monitoring
from korean_llm_assets.compute.profiles import ClusterProfile
from korean_llm_assets.serving import vllm_manifests as vllm
from korean_llm_assets.serving.vllm_manifests import ServedModel, ServingSettings
from trainers.contract import ServiceMissing
from trainers.contract.redaction import redacted

# Said of custom objects as well: by itself the client merges them, and an API server lets no merge be forced (422).
_APPLY: dict[str, Any] = {
    "field_manager": "korean-llm",
    "force": True,
    "_content_type": "application/apply-patch+yaml",
}
_GATEWAY = {"group": "gateway.networking.k8s.io", "version": "v1", "plural": "httproutes"}
_AUTOSCALERS = {
    "keda": {"group": "keda.sh", "version": "v1alpha1", "plural": "scaledobjects"},
    "hpa": {"group": "autoscaling", "version": "v2", "plural": "horizontalpodautoscalers"},
}
_POLL_SECONDS = 5.0


class ClusterPlatform:
    """Serves versions of one model; `served_by` gives what a version's number stands for."""

    def __init__(
        self,
        model: str,
        served_by: Callable[[str], ServedModel],
        settings: ServingSettings,
        profile: ClusterProfile,
        apps: AppsV1Api,
        core: CoreV1Api,
        custom: CustomObjectsApi,
    ):
        self._model, self._served_by = model, served_by
        self._settings, self._profile = settings, profile
        self._apps, self._core, self._custom = apps, core, custom
        self._divided = time.time()

    def start(self, version: str) -> str:
        """Apply the version's Deployment, Service and autoscaler; returns its address once a pod is ready."""
        namespace, name = self._profile.namespace, vllm.workload_name(self._model, version)
        deployment = vllm.deployment(self._model, version, self._served_by(version), self._settings, self._profile)
        service = vllm.service(self._model, version, self._profile)
        # KEDA's object is no place for a password; an HPA asks no Prometheus.
        prometheus = redacted(monitoring.address()) if self._settings.autoscaler == "keda" else ""
        autoscaler = vllm.autoscaler(self._model, version, self._settings, self._profile, prometheus)
        with self._answering(f"starting {name}"):
            if not self.is_ready(version):  # one that serves would shrink to its first replica
                self._apps.patch_namespaced_deployment(name, namespace, deployment, **_APPLY)
            self._core.patch_namespaced_service(name, namespace, service, **_APPLY)
            self._custom.patch_namespaced_custom_object(
                **_AUTOSCALERS[self._settings.autoscaler],
                namespace=namespace,
                name=name,
                body=autoscaler,
                **_APPLY,
            )
        deadline, silence = time.monotonic() + self._settings.ready_seconds, ""
        while time.monotonic() < deadline:
            try:
                if self.is_ready(version):
                    return f"http://{name}.{namespace}:{vllm.PORT}"
                silence = ""
            except ServiceMissing as error:  # weights load for minutes, in which an API server may restart
                silence = f" ({error})"
            time.sleep(_POLL_SECONDS)
        raise ServiceMissing(
            f"{name} has no ready pod after {self._settings.ready_seconds} s{silence}:\n{self.logs(version)}"
        )

    def versions(self) -> list[str]:
        """Every version of this model that has a Deployment."""
        with self._answering("listing what is served"):
            deployments = self._apps.list_namespaced_deployment(
                self._profile.namespace, label_selector=f"{vllm.COMPONENT}=vllm"
            ).items
        numbers = [(item.metadata.name, item.metadata.labels[vllm.VERSION]) for item in deployments]
        return [number for name, number in numbers if name == vllm.workload_name(self._model, number)]

    def is_ready(self, version: str) -> bool:
        """True while the version's Deployment, as it was last applied, has a ready pod."""
        name = vllm.workload_name(self._model, version)
        with self._answering(f"asking for the state of {name}"):
            try:
                deployment = self._apps.read_namespaced_deployment_status(name, self._profile.namespace)
            except ApiException as error:
                if error.status == 404:
                    return False
                raise
        is_current = (deployment.status.observed_generation or 0) >= deployment.metadata.generation
        return is_current and bool(deployment.status.ready_replicas)

    def route(self, shares: dict[str, float]) -> None:
        """Replace the weights of the one address."""
        body = vllm.route(self._model, shares, self._settings, self._profile)
        with self._answering(f"dividing the traffic of {self._model}"):
            self._custom.patch_namespaced_custom_object(
                **_GATEWAY,
                namespace=self._profile.namespace,
                name=body["metadata"]["name"],
                body=body,
                **_APPLY,
            )
        self._divided = time.time()

    def requests(self, version: str) -> tuple[float, float]:
        """(server errors, all requests) of the version's pods since the last division, as Prometheus saw them.

        The window ends where the division was, so the smoke test, which asks the pods before it, is no traffic.
        """
        pods = f'namespace="{self._profile.namespace}",pod=~"{vllm.workload_name(self._model, version)}-.*"'
        window = f"[{max(1, int(time.time() - self._divided))}s]"
        total = monitoring.value(f"sum(increase(http_requests_total{{{pods}}}{window}))")
        failed = monitoring.value(f'sum(increase(http_requests_total{{{pods},status="5xx"}}{window}))')
        return failed or 0.0, total or 0.0

    def stop(self, version: str) -> None:
        """Delete the version's objects; what is not there is no error."""
        namespace, name = self._profile.namespace, vllm.workload_name(self._model, version)
        for delete in (
            lambda: self._custom.delete_namespaced_custom_object(
                **_AUTOSCALERS[self._settings.autoscaler], namespace=namespace, name=name
            ),
            lambda: self._core.delete_namespaced_service(name, namespace),
            lambda: self._apps.delete_namespaced_deployment(name, namespace),
        ):
            with self._answering(f"stopping {name}"):
                try:
                    delete()
                except ApiException as error:
                    if error.status != 404:
                        raise

    def logs(self, version: str) -> str:
        """The end of the log of each of the version's pods."""
        namespace, name = self._profile.namespace, vllm.workload_name(self._model, version)
        with self._answering(f"reading the log of {name}"):
            pods = self._core.list_namespaced_pod(namespace, label_selector=f"app.kubernetes.io/name={name}").items
        tails = []
        for pod in pods:
            try:
                tail = self._core.read_namespaced_pod_log(pod.metadata.name, namespace, tail_lines=40)
            except (
                ApiException,
                HTTPError,
            ) as error:  # a pod that never started has none, but its phase says something
                status = getattr(error, "status", "no answer")
                tail = f"no log ({status}); phase {pod.status.phase}"
            tails.append(f"{pod.metadata.name}: {tail}")
        return "\n".join(tails)

    @contextmanager
    def _answering(self, doing: str) -> Iterator[None]:
        """Turn an API server that is down, or refuses, into ServiceMissing."""
        try:
            yield
        except (ApiException, HTTPError) as error:
            reason = f"{error.status} {error.reason}" if isinstance(error, ApiException) else str(error)
            raise ServiceMissing(
                f"{doing}: Kubernetes did not do it in namespace {self._profile.namespace}: {reason}. What is served "
                "goes on (403: compare the Role with dagster_deploy/chart/templates/serving.yaml)."
            ) from error
