"""The cluster's platform against a double of the Kubernetes API: what is applied, waited for, divided and removed."""

from types import SimpleNamespace

import pytest
from kubernetes.client import ApiException

from korean_llm_assets.compute.profiles import load_profile
from korean_llm_assets.serving import vllm_platform as cluster
from korean_llm_assets.serving.vllm_manifests import ServingSettings
from korean_llm_assets.serving.vllm_platform import ClusterPlatform
from trainers.contract import ServiceMissing


class Api:
    """Keeps objects by kind and name; `ready_after` reads of a Deployment's status it has a ready pod."""

    def __init__(self, ready_after=1):
        self.objects, self.reads, self.ready_after = {}, 0, ready_after

    def patch_namespaced_deployment(self, name, namespace, body, **options):
        self.objects["Deployment", name] = body

    def patch_namespaced_service(self, name, namespace, body, **options):
        self.objects["Service", name] = body

    def patch_namespaced_custom_object(self, group, version, plural, namespace, name, body, **options):
        self.objects[body["kind"], name] = body

    def read_namespaced_deployment_status(self, name, namespace):
        self.reads += 1
        return SimpleNamespace(status=SimpleNamespace(ready_replicas=int(self.reads >= self.ready_after) or None))

    def list_namespaced_pod(self, namespace, label_selector):
        return SimpleNamespace(
            items=[SimpleNamespace(metadata=SimpleNamespace(name="p-1"), status=SimpleNamespace(phase="Pending"))]
        )

    def read_namespaced_pod_log(self, name, namespace, tail_lines):
        raise ApiException(status=400)

    def _delete(self, kind, name):
        if self.objects.pop((kind, name), None) is None:
            raise ApiException(status=404)

    def delete_namespaced_deployment(self, name, namespace):
        self._delete("Deployment", name)

    def delete_namespaced_service(self, name, namespace):
        self._delete("Service", name)

    def delete_namespaced_custom_object(self, group, version, plural, namespace, name):
        self._delete({"scaledobjects": "ScaledObject"}.get(plural, "HorizontalPodAutoscaler"), name)


def platform_on(api, **settings):
    return ClusterPlatform(
        "qwen2.5-7b", lambda version: f"deployed_model/{version}", ServingSettings(**settings), load_profile("h100"),
        api, api, api,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(cluster, "_POLL_SECONDS", 0.01)


@pytest.mark.parametrize(("autoscaler", "kind"), [("keda", "ScaledObject"), ("hpa", "HorizontalPodAutoscaler")])
def test_a_version_is_applied_waited_for_and_removed_whole(autoscaler, kind):
    api = Api(ready_after=3)
    platform = platform_on(api, autoscaler=autoscaler)
    assert platform.start("3") == "http://qwen2-5-7b-v3.llm-training:8000"
    assert {found for found, _ in api.objects} == {"Deployment", "Service", kind}
    assert api.reads == 3
    platform.stop("3")
    assert api.objects == {}
    platform.stop("3")


def test_a_version_without_a_ready_pod_is_told_with_what_its_pods_say():
    with pytest.raises(ServiceMissing, match=r"no ready pod after 0 s:\np-1: no log \(400\); phase Pending"):
        platform_on(Api(ready_after=10**9), ready_seconds=0).start("3")


def test_traffic_is_divided_on_the_route():
    api = Api()
    platform_on(api).route({"3": 0.75, "4": 0.25})
    route = api.objects["HTTPRoute", "qwen2-5-7b"]
    assert [backend["weight"] for backend in route["spec"]["rules"][0]["backendRefs"]] == [750, 250]


def test_failed_requests_are_counted_by_prometheus(monkeypatch):
    platform = platform_on(Api())
    monkeypatch.setattr(platform, "_ask", lambda query: 3.0 if "5xx" in query else 60.0)
    assert platform.requests("3") == (3.0, 60.0)


def test_prometheus_that_is_down_is_named():
    with pytest.raises(ServiceMissing, match=r"Prometheus at http://127\.0\.0\.1:9"):
        platform_on(Api(), prometheus="http://127.0.0.1:9").requests("3")
