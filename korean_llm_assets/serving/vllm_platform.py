"""The cluster's serving platform: `rollout.Platform` over the Kubernetes API, with vLLM's objects from vllm.py."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable

from kubernetes.client import ApiException, AppsV1Api, CoreV1Api, CustomObjectsApi

from korean_llm_assets.compute.profiles import ClusterProfile
from korean_llm_assets.serving import vllm_manifests as vllm
from korean_llm_assets.serving.vllm_manifests import ServingSettings
from trainers.contract import ServiceMissing

_FIELD_MANAGER = "korean-llm"
_GATEWAY = {"group": "gateway.networking.k8s.io", "version": "v1", "plural": "httproutes"}
_AUTOSCALERS = {
    "keda": {"group": "keda.sh", "version": "v1alpha1", "plural": "scaledobjects"},
    "hpa": {"group": "autoscaling", "version": "v2", "plural": "horizontalpodautoscalers"},
}
_POLL_SECONDS = 5.0


class ClusterPlatform:
    """Serves versions of one model; `path_of` gives a version's artifact path, relative to the artifact root."""

    def __init__(
        self,
        model: str,
        path_of: Callable[[str], str],
        settings: ServingSettings,
        profile: ClusterProfile,
        apps: AppsV1Api,
        core: CoreV1Api,
        custom: CustomObjectsApi,
    ):
        self._model, self._path_of = model, path_of
        self._settings, self._profile = settings, profile
        self._apps, self._core, self._custom = apps, core, custom
        self._divided = time.time()

    def start(self, version: str) -> str:
        """Apply the version's Deployment, Service and autoscaler; returns its address once a pod is ready."""
        namespace, name = self._profile.namespace, vllm.workload_name(self._model, version)
        made = vllm.deployment(self._model, version, self._path_of(version), self._settings, self._profile)
        options = {"field_manager": _FIELD_MANAGER, "force": True, "_content_type": "application/apply-patch+yaml"}
        self._apps.patch_namespaced_deployment(name, namespace, made, **options)
        self._core.patch_namespaced_service(
            name, namespace, vllm.service(self._model, version, self._profile), **options
        )
        self._custom.patch_namespaced_custom_object(
            **_AUTOSCALERS[self._settings.autoscaler],
            namespace=namespace,
            name=name,
            body=vllm.autoscaler(self._model, version, self._settings, self._profile),
            field_manager=_FIELD_MANAGER,
            force=True,
        )
        deadline = time.monotonic() + self._settings.ready_seconds
        while time.monotonic() < deadline:
            status = self._apps.read_namespaced_deployment_status(name, namespace).status
            if status.ready_replicas:
                return f"http://{name}.{namespace}:{vllm.PORT}"
            time.sleep(_POLL_SECONDS)
        raise ServiceMissing(f"{name} has no ready pod after {self._settings.ready_seconds} s:\n{self.logs(version)}")

    def route(self, shares: dict[str, float]) -> None:
        """Replace the weights of the one address."""
        body = vllm.route(self._model, shares, self._settings, self._profile)
        self._custom.patch_namespaced_custom_object(
            **_GATEWAY,
            namespace=self._profile.namespace,
            name=body["metadata"]["name"],
            body=body,
            field_manager=_FIELD_MANAGER,
            force=True,
        )
        self._divided = time.time()

    def requests(self, version: str) -> tuple[float, float]:
        """(server errors, all requests) of the version's pods since the last division, as Prometheus saw them."""
        pods = f'namespace="{self._profile.namespace}",pod=~"{vllm.workload_name(self._model, version)}-.*"'
        window = f"[{max(60, round(time.time() - self._divided))}s]"
        asked = self._ask(f"sum(increase(http_requests_total{{{pods}}}{window}))")
        failed = self._ask(f'sum(increase(http_requests_total{{{pods},status="5xx"}}{window}))')
        return failed, asked

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
            try:
                delete()
            except ApiException as error:
                if error.status != 404:
                    raise

    def logs(self, version: str) -> str:
        """The end of the log of each of the version's pods."""
        namespace, name = self._profile.namespace, vllm.workload_name(self._model, version)
        pods = self._core.list_namespaced_pod(namespace, label_selector=f"app.kubernetes.io/name={name}").items
        tails = []
        for pod in pods:
            try:
                tail = self._core.read_namespaced_pod_log(pod.metadata.name, namespace, tail_lines=40)
            except ApiException as error:  # a pod that never started has no log, but its phase says something
                tail = f"no log ({error.status}); phase {pod.status.phase}"
            tails.append(f"{pod.metadata.name}: {tail}")
        return "\n".join(tails)

    def _ask(self, query: str) -> float:
        address = f"{self._settings.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                found = json.load(answer)["data"]["result"]
        except (OSError, ValueError, LookupError) as error:
            raise ServiceMissing(f"Prometheus at {self._settings.prometheus} does not answer: {error}") from error
        return float(found[0]["value"][1]) if found else 0.0
