"""vLLM's objects: valid by Kubernetes' own schemas, and right where a schema does not look. Not run on a GPU here."""

from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from pydantic import ValidationError

from korean_llm_assets.compute.profiles import load_profile
from korean_llm_assets.serving import vllm_manifests as vllm
from korean_llm_assets.serving.vllm_manifests import ServingSettings
from tests.support.crds import crd_schema

_KUBERNETES = "1.32"
PATH = "deployed_model/qwen2.5-7b/r1/abc"
PROMETHEUS = "http://prometheus.monitoring:9090"


@pytest.fixture
def profile():
    return load_profile("h100")


@pytest.fixture
def deployment(profile):
    return vllm.deployment("qwen2.5-7b", "3", PATH, ServingSettings(gpus=2), profile)


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
    assert f"/mnt/korean-llm/artifacts/{PATH}/model" in container["args"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert container["args"][container["args"].index("--tensor-parallel-size") + 1] == "2"
    store = next(mount for mount in container["volumeMounts"] if mount["name"] == "store")
    assert store["readOnly"] is True
    assert pod["nodeSelector"]["gpu-type"] == "h100"
    assert pod["automountServiceAccountToken"] is False


def test_selectors_name_their_own_version_only(deployment, profile):
    service = vllm.service("qwen2.5-7b", "3", profile)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    other = vllm.deployment("qwen2.5-7b", "4", PATH, ServingSettings(), profile)
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
    folder = Path(__file__).parents[3] / "dagster_deploy" / "components" / "serving"
    assert ServingSettings.model_validate(yaml.safe_load((folder / "settings.yaml").read_text())).gpus == 1
    role, binding = yaml.safe_load_all((folder / "rbac.yaml").read_text())
    for made in (role, binding):
        kubernetes_validate.validate(made, _KUBERNETES, strict=True)
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
    settings = (folder / "kustomization.yaml").read_text()
    assert "settings.yaml" in settings and "rbac.yaml" in settings
