"""The cluster's platform against a double of the Kubernetes API: what is applied, waited for, divided and removed."""

from types import SimpleNamespace

import pytest
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from korean_llm_assets.compute.profiles import load_profile
from korean_llm_assets.serving import rollout
from korean_llm_assets.serving import vllm_platform as cluster
from korean_llm_assets.serving.model_size import ModelSize
from korean_llm_assets.serving.rollout import RolloutPolicy, roll_out, settle
from korean_llm_assets.serving.smoke import Reply, SmokeResult
from korean_llm_assets.serving.vllm_manifests import ServedModel, ServingSettings
from korean_llm_assets.serving.vllm_platform import ClusterPlatform
from trainers.contract import ServiceMissing

SIZE = ModelSize(weights=10**9, dtype="bfloat16", positions=8192, heads=8, cache_of_token=1000)


class Api:
    """Keeps objects by kind and name; a Deployment has a ready pod from the `ready_after`th read of its status on."""

    def __init__(self, ready_after=1):
        self.objects, self.reads, self.ready_after = {}, 0, ready_after
        self.applied, self.unready, self.observed_generation = [], set(), 1

    def _apply(self, name, body, options):
        if options.get("force") and options.get("_content_type") != "application/apply-patch+yaml":
            raise ApiException(status=422, reason="force: Forbidden: may not be specified for non-apply patch")
        self.objects[body["kind"], name] = body
        self.applied.append(body["kind"])

    def patch_namespaced_deployment(self, name, namespace, body, **options):
        self._apply(name, body, options)

    def patch_namespaced_service(self, name, namespace, body, **options):
        self._apply(name, body, options)

    def patch_namespaced_custom_object(self, group, version, plural, namespace, name, body, **options):
        self._apply(name, body, options)

    def read_namespaced_deployment_status(self, name, namespace):
        if ("Deployment", name) not in self.objects:
            raise ApiException(status=404)
        self.reads += 1
        ready = int(name not in self.unready and self.reads >= self.ready_after) or None
        return SimpleNamespace(
            metadata=SimpleNamespace(generation=1),
            status=SimpleNamespace(ready_replicas=ready, observed_generation=self.observed_generation),
        )

    def list_namespaced_deployment(self, namespace, label_selector):
        key, value = label_selector.split("=")
        every = [body["metadata"] for (kind, _), body in self.objects.items() if kind == "Deployment"]
        chosen = [SimpleNamespace(**metadata) for metadata in every if metadata["labels"].get(key) == value]
        return SimpleNamespace(items=[SimpleNamespace(metadata=metadata) for metadata in chosen])

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


def platform_on(api, model="qwen2.5-7b", **settings):
    return ClusterPlatform(
        model, lambda version: ServedModel(f"deployed_model/{version}", SIZE), ServingSettings(**settings),
        load_profile("h100"), api, api, api,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _cluster(monkeypatch):
    monkeypatch.setattr(cluster, "_POLL_SECONDS", 0.01)
    monkeypatch.setenv("KOREAN_LLM_PROMETHEUS_URL", "http://prometheus.monitoring:9090")


@pytest.mark.parametrize(("autoscaler", "kind"), [("keda", "ScaledObject"), ("hpa", "HorizontalPodAutoscaler")])
def test_a_version_is_applied_waited_for_and_removed_whole(autoscaler, kind):
    api = Api(ready_after=3)
    platform = platform_on(api, autoscaler=autoscaler)
    assert platform.start("3") == "http://qwen2-5-7b-v3.llm-training:8000"
    assert {object_kind for object_kind, _ in api.objects} == {"Deployment", "Service", kind}
    assert api.reads == 3
    platform.stop("3")
    assert api.objects == {}
    platform.stop("3")


def test_a_version_without_a_ready_pod_is_told_with_what_its_pods_say():
    with pytest.raises(ServiceMissing, match=r"no ready pod after 0 s:\np-1: no log \(400\); phase Pending"):
        platform_on(Api(ready_after=10**9), ready_seconds=0).start("3")


def test_a_version_is_ready_by_the_status_of_its_deployment_as_last_applied():
    api = Api(ready_after=2)
    platform = platform_on(api)
    assert not platform.is_ready("3"), "never started"
    platform.start("3")
    assert platform.is_ready("3")
    api.unready = {"qwen2-5-7b-v3"}
    assert not platform.is_ready("3")
    api.unready, api.observed_generation = set(), 0
    assert not platform.is_ready("3"), "the status is of an earlier Deployment"


def test_a_version_that_serves_keeps_its_replicas_and_gets_what_it_lacks():
    api = Api()
    platform = platform_on(api)
    platform.start("3")
    del api.objects["Service", "qwen2-5-7b-v3"]  # a process died between two of its objects
    api.applied.clear()
    platform.start("3")
    assert api.applied == ["Service", "ScaledObject"]


def test_an_api_server_that_restarts_while_a_version_loads_is_waited_for(monkeypatch):
    api = Api(ready_after=3)
    answer = api.read_namespaced_deployment_status

    def restarting(name, namespace):
        status = answer(name, namespace)
        if api.reads == 2:
            raise ApiException(status=503, reason="Service Unavailable")
        return status

    monkeypatch.setattr(api, "read_namespaced_deployment_status", restarting)
    assert platform_on(api).start("3") == "http://qwen2-5-7b-v3.llm-training:8000"
    assert api.reads == 3


def test_only_this_models_versions_are_listed():
    api = Api()
    for model, version in (("qwen2.5-7b", "3"), ("qwen2.5-7b", "4"), ("qwen2.5-7b-v3", "5"), ("tiny", "1")):
        platform_on(api, model).start(version)
    assert sorted(platform_on(api).versions()) == ["3", "4"]


@pytest.fixture
def smoke(monkeypatch):
    monkeypatch.setattr(rollout, "ask", lambda url, question, max_tokens: None)
    monkeypatch.setattr(rollout, "smoke_test", lambda url, heard: SmokeResult([Reply("q", "답", 0.1)]))


def weights(api) -> dict[str, int]:
    (rule,) = api.objects["HTTPRoute", "qwen2-5-7b"]["spec"]["rules"]
    return {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}


def test_a_version_without_a_ready_pod_never_gets_a_weight(smoke):
    api = Api()
    platform = platform_on(api, ready_seconds=1)
    settle(platform, "3")
    api.unready = {"qwen2-5-7b-v3"}
    outcome = roll_out(platform, "4", RolloutPolicy(canary_seconds=0), lambda: None, lambda: "3")
    assert outcome.promoted and "no canary: 3 is not ready" in outcome.steps
    assert weights(api) == {"qwen2-5-7b-v4": 1000}
    api.unready = {"qwen2-5-7b-v5"}
    assert not roll_out(platform, "5", RolloutPolicy(canary_seconds=0), lambda: None, lambda: "4").promoted
    assert weights(api) == {"qwen2-5-7b-v4": 1000}
    assert platform.versions() == ["4"]
    api.unready = {"qwen2-5-7b-v4"}
    with pytest.raises(ServiceMissing, match="no ready pod"):
        settle(platform, "4")


def test_an_api_server_that_refuses_or_is_down_is_named(monkeypatch):
    api = Api()

    def refuse(*arguments, **options):
        raise ApiException(status=403, reason="Forbidden")

    def lose(*arguments, **options):
        raise HTTPError("connection refused")

    monkeypatch.setattr(api, "list_namespaced_deployment", refuse)
    monkeypatch.setattr(api, "read_namespaced_deployment_status", lose)
    with pytest.raises(ServiceMissing, match=r"listing what is served.*403 Forbidden.*serving\.yaml"):
        platform_on(api).versions()
    with pytest.raises(ServiceMissing, match=r"state of qwen2-5-7b-v3.*connection refused"):
        platform_on(api).is_ready("3")


def test_traffic_is_divided_on_the_route():
    api = Api()
    platform_on(api).route({"3": 0.75, "4": 0.25})
    route = api.objects["HTTPRoute", "qwen2-5-7b"]
    assert [backend["weight"] for backend in route["spec"]["rules"][0]["backendRefs"]] == [750, 250]


def test_failed_requests_are_counted_by_prometheus(monkeypatch):
    platform = platform_on(Api())
    monkeypatch.setattr(cluster.monitoring, "value", lambda query: 3.0 if "5xx" in query else 60.0)
    assert platform.requests("3") == (3.0, 60.0)


def test_the_smoke_test_before_the_division_is_outside_the_counted_window(monkeypatch):
    platform, queries = platform_on(Api()), []
    monkeypatch.setattr(cluster.monitoring, "value", queries.append)
    platform.route({"3": 1.0})
    divided = platform._divided
    monkeypatch.setattr(cluster.time, "time", lambda: divided + 30.9)
    platform.requests("3")
    assert all("[30s]" in query for query in queries)


def test_prometheus_that_is_down_is_named(monkeypatch):
    monkeypatch.setenv("KOREAN_LLM_PROMETHEUS_URL", "http://127.0.0.1:9")
    with pytest.raises(ServiceMissing, match=r"Prometheus at http://127\.0\.0\.1:9"):
        platform_on(Api()).requests("3")


def test_the_autoscaler_asks_the_same_prometheus_and_is_told_no_password(monkeypatch):
    monkeypatch.setenv("KOREAN_LLM_PROMETHEUS_URL", "https://watch:canary@prometheus.example/")
    api = Api()
    platform_on(api).start("3")
    triggers = api.objects["ScaledObject", "qwen2-5-7b-v3"]["spec"]["triggers"]
    assert {trigger["metadata"]["serverAddress"] for trigger in triggers} == {"https://prometheus.example"}


def test_without_a_prometheus_an_hpa_and_no_canary_serve(monkeypatch):
    monkeypatch.delenv("KOREAN_LLM_PROMETHEUS_URL")
    settings = {"autoscaler": "hpa", "rollout": RolloutPolicy(canary_seconds=0)}
    assert platform_on(Api(), **settings).start("3") == "http://qwen2-5-7b-v3.llm-training:8000"
