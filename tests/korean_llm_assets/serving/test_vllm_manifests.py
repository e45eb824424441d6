"""vLLM's objects: valid by Kubernetes' own schemas, and right where a schema does not look. Not run on a GPU here."""

from dataclasses import replace
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from pydantic import ValidationError

from korean_llm_assets.compute.profiles import load_profile
from korean_llm_assets.serving import vllm_manifests as vllm
from korean_llm_assets.serving.model_size import ModelSize
from korean_llm_assets.serving.vllm_manifests import ServedModel, ServingSettings
from tests.support.charts import facts, find, ours
from tests.support.crds import crd_schema
from tests.support.pod_security import violations
from trainers.contract import BadRequest, DoesNotFit

_KUBERNETES = "1.32"
SEVEN = ServedModel(
    path="deployed_model/qwen2.5-7b/r1/abc",
    size=ModelSize(weights=15_231_233_024, dtype="bfloat16", positions=131_072, heads=28, cache_of_token=57_344),
)
"""Qwen2.5-7B: 28 layers, 4 heads of keys and values, 128 wide."""
PROMETHEUS = "http://prometheus.monitoring:9090"


@pytest.fixture
def profile():
    return load_profile("h100")


@pytest.fixture
def deployment(profile):
    return vllm.deployment("qwen2.5-7b", "3", SEVEN, ServingSettings(), profile)


def argument(deployment: dict[str, Any], flag: str) -> str:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container["args"][container["args"].index(flag) + 1]


def test_the_namespace_of_the_models_admits_their_pods(deployment):
    assert violations(deployment["spec"]["template"]["spec"]) == []


def test_the_route_leads_to_a_gateway_wherever_it_is(profile):
    for settings, parent in (
        (ServingSettings(gateway="g"), {"name": "g"}),
        (ServingSettings(gateway="g", gateway_namespace="gateways"), {"name": "g", "namespace": "gateways"}),
    ):
        assert vllm.route("m", {"1": 1.0}, settings, profile)["spec"]["parentRefs"] == [parent]


def test_an_installation_without_a_host_for_models_gives_the_route_none(profile):
    """An empty host name is one that the Gateway's CRD refuses, in the midst of the first rollout."""
    assert vllm.route("m", {"1": 1.0}, ServingSettings(host="a.b"), profile)["spec"]["hostnames"] == ["a.b"]
    assert "hostnames" not in vllm.route("m", {"1": 1.0}, ServingSettings(host=""), profile)["spec"]


def test_core_objects_meet_their_schemas(deployment, profile):
    service = vllm.service("qwen2.5-7b", "3", profile)
    autoscaler = vllm.autoscaler("qwen2.5-7b", "3", ServingSettings(autoscaler="hpa"), profile, PROMETHEUS)
    for made in (deployment, service, autoscaler):
        kubernetes_validate.validate(made, _KUBERNETES, strict=True)


def test_custom_objects_meet_their_crds(profile):
    settings = ServingSettings(min_replicas=0)
    scaled = vllm.autoscaler("qwen2.5-7b", "3", settings, profile, PROMETHEUS)
    route = vllm.route("qwen2.5-7b", {"3": 0.9, "4": 0.1}, settings, profile)
    jsonschema.validate(scaled, crd_schema("keda.sh_scaledobjects.yaml", "v1alpha1"))
    jsonschema.validate(route, crd_schema("gateway.networking.k8s.io_httproutes.yaml", "v1"))


@pytest.mark.parametrize("settings", [{"autoscaler": "hpa", "min_replicas": 0}, {"min_replicas": 3, "max_replicas": 2}])
def test_replicas_that_cannot_be_are_refused(settings):
    with pytest.raises(ValidationError, match="min_replicas"):
        ServingSettings(**settings)


def test_a_canary_that_is_too_short_to_be_counted_is_refused():
    with pytest.raises(ValidationError, match=r"canary_seconds \(5\) is too short.*60 at least, or 0"):
        ServingSettings(rollout={"canary_seconds": 5})
    assert ServingSettings(rollout={"canary_seconds": 0}).rollout.canary_seconds == 0


def test_the_server_gets_the_verified_folder_read_only_and_its_gpus(deployment):
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert argument(deployment, "--model") == f"/mnt/korean-llm/artifacts/{SEVEN.path}/model"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    store = next(mount for mount in container["volumeMounts"] if mount["name"] == "store")
    assert store["readOnly"] is True
    assert pod["nodeSelector"]["gpu-type"] == "h100"
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("size", "gpus", "memory", "length"),
    [
        pytest.param(SEVEN.size, "1", "31Gi", "8192", id="7B on one"),
        pytest.param(replace(SEVEN.size, positions=512), "1", "31Gi", "512", id="as long as its positions"),
        pytest.param(ModelSize(145 * 10**9, "bfloat16", 32_768, 64, 327_680), "4", "152Gi", "8192", id="72B on four"),
        pytest.param(ModelSize(145 * 10**9, "bfloat16", 32_768, 6, 327_680), "3", "152Gi", "8192", id="six heads"),
    ],
)
def test_a_replica_is_as_large_as_its_model(profile, size, gpus, memory, length):
    """An H100 has 80 GB; the weights must leave room for a cache, and the heads be divided evenly."""
    made = vllm.deployment("m", "1", ServedModel("a", size), ServingSettings(), profile)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    limits = container["resources"]["limits"]
    assert limits == {"cpu": "8", "memory": memory, "nvidia.com/gpu": gpus}
    assert argument(made, "--tensor-parallel-size") == gpus
    assert argument(made, "--max-model-len") == length
    assert argument(made, "--dtype") == "bfloat16"


def test_one_models_replicas_can_be_set_apart(profile):
    settings = ServingSettings(models={"qwen2.5-7b": {"gpus": 4, "memory": "99Gi", "max_model_len": 32_768}})
    made = vllm.deployment("qwen2.5-7b", "3", SEVEN, settings, profile)
    assert (argument(made, "--tensor-parallel-size"), argument(made, "--max-model-len")) == ("4", "32768")
    other = vllm.deployment("another", "3", SEVEN, settings, profile)
    assert (argument(other, "--tensor-parallel-size"), argument(other, "--max-model-len")) == ("1", "8192")


def test_a_model_that_no_node_holds_is_refused_with_the_arithmetic(profile):
    huge = ModelSize(10**12, "bfloat16", 8192, 64, 327_680)
    with pytest.raises(
        DoesNotFit, match=r"weights of 931\.3 GiB and a cache of 8 x 8,192 tokens .* on 8 GPUs of 75 GiB"
    ):
        vllm.deployment("m", "1", ServedModel("a", huge), ServingSettings(), profile)


def test_a_cluster_without_gpus_is_told_so():
    with pytest.raises(BadRequest, match="'cpu' has no gpu_pool.*`gpus: 0`.*serves it without"):
        vllm.deployment("m", "1", SEVEN, ServingSettings(), load_profile("cpu"))


@pytest.mark.parametrize("name", ["cpu", "h100"])
def test_a_model_that_asks_for_no_gpus_is_served_beside_them(name):
    profile = load_profile(name)
    settings = ServingSettings(image="mine/vllm-cpu:1", cpu=1, models={"m": {"gpus": 0}})
    made = vllm.deployment("m", "1", SEVEN, settings, profile)
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["nodeSelector"] == profile.cpu_pool.selector and pod["tolerations"] == []
    assert argument(made, "--tensor-parallel-size") == "1"
    # Eight sequences of 8192 tokens, 3.5 GiB, beside the weights: not a share of the node's memory.
    assert {"name": "VLLM_CPU_KVCACHE_SPACE", "value": "4"} in container["env"]
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "35Gi"}
    # The platform's own pods are there, without a class: the first model that was served ended database and daemon.
    assert find(ours(), "PriorityClass", pod["priorityClassName"])["preemptionPolicy"] == "Never"
    kubernetes_validate.validate(made, _KUBERNETES, strict=True)
    assert violations(pod) == []


def test_a_model_on_gpus_is_told_nothing_of_cpus(deployment):
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {each["name"] for each in container["env"]} == {"HF_HUB_OFFLINE", "VLLM_NO_USAGE_STATS", "HOME"}


def test_selectors_name_their_own_version_only(deployment, profile):
    service = vllm.service("qwen2.5-7b", "3", profile)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    other = vllm.deployment("qwen2.5-7b", "4", SEVEN, ServingSettings(), profile)
    assert not service["spec"]["selector"].items() <= other["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["metadata"]["name"] == "qwen2-5-7b-v3"


def test_a_route_divides_by_weight(profile):
    made = vllm.route("qwen2.5-7b", {"3": 0.9, "4": 0.1}, ServingSettings(), profile)
    (rule,) = made["spec"]["rules"]
    assert [(b["name"], b["weight"]) for b in rule["backendRefs"]] == [("qwen2-5-7b-v3", 900), ("qwen2-5-7b-v4", 100)]
    assert made["metadata"]["name"] == "qwen2-5-7b"


def test_scaling_is_on_the_queue_and_the_cache(profile):
    made = vllm.scaled_object("qwen2.5-7b", "3", ServingSettings(min_replicas=0), profile, PROMETHEUS)
    queries = [trigger["metadata"]["query"] for trigger in made["spec"]["triggers"]]
    assert queries[0].startswith("sum(vllm:num_requests_waiting{") and "kv_cache_usage_perc" in queries[1]
    assert all('pod=~"qwen2-5-7b-v3-.*"' in query for query in queries)
    assert {trigger["metadata"]["serverAddress"] for trigger in made["spec"]["triggers"]} == {PROMETHEUS}
    assert made["spec"]["minReplicaCount"] == 0


def test_the_shipped_settings_and_role_are_what_serving_needs():
    objects = ours(facts(serving={"enabled": True}))
    given = ServingSettings.model_validate(
        yaml.safe_load(find(objects, "ConfigMap", "korean-llm-serving")["data"]["settings.yaml"])
    )
    place = {"gateway", "gateway_namespace", "host"}
    assert given.model_dump(exclude=place) == ServingSettings().model_dump(exclude=place)
    role = find(objects, "Role", "korean-llm-serving")
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    autoscalers = {("keda.sh", "scaledobjects"), ("autoscaling", "horizontalpodautoscalers")}
    applied = {("apps", "deployments"), ("", "services"), *autoscalers}
    wanted = {(*kind, verb) for kind in applied for verb in ("create", "patch", "delete")}
    wanted |= {("gateway.networking.k8s.io", "httproutes", verb) for verb in ("create", "patch")}
    wanted |= {
        ("apps", "deployments", "list"),
        ("apps", "deployments/status", "get"),
        ("", "pods", "list"),
        ("", "pods/log", "get"),
    }
    assert granted == wanted
