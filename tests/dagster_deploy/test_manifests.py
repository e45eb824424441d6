"""Kustomize overlays: rendered whole, valid for Kubernetes and Kueue, least privilege, what the launcher relies on."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from korean_llm_assets.compute.cluster.cluster_check import required_permissions
from korean_llm_assets.compute.cluster.job_spec import METRICS_PORT
from korean_llm_assets.compute.cluster.kubeflow import render
from korean_llm_assets.compute.profiles import load_profile, profile_paths
from tests.support.crds import crd_schema
from trainers.contract import Needs, StageRequest
from trainers.contract.recipe.loading import load_model_recipes

_DEPLOY = Path(__file__).parents[2] / "dagster_deploy"
_OVERLAYS = ("production", "staging", "kind")
_SHIPPED_PROFILES = sorted(profile_paths())


@cache
def _rendered(overlay: str) -> list[dict[str, Any]]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl renders the overlays; install it")
    command = ["kubectl", "kustomize", str(_DEPLOY / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def _find(kind: str, name: str, overlay: str = "production") -> dict[str, Any]:
    (manifest,) = [m for m in _rendered(overlay) if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return manifest


@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_every_object_is_valid(overlay: str):
    for manifest in _rendered(overlay):
        group, _, version = manifest["apiVersion"].rpartition("/")
        if group == "kueue.x-k8s.io":
            schema = crd_schema(f"{group}_{_plural(manifest['kind'])}.yaml", version)
            jsonschema.validate(manifest, schema)
        else:
            kubernetes_validate.validate(manifest, "1.32", strict=True)


def _plural(kind: str) -> str:
    return kind.lower() + ("es" if kind.endswith("s") else "s")


def test_the_role_is_exactly_what_the_launcher_asks_for():
    granted = {
        (verb, group, resource)
        for rule in _find("Role", "korean-llm-launcher")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    needs = Needs(gpus=16, nodes=2)
    wanted = {
        (permission.verb, permission.group, permission.resource)
        for name in _SHIPPED_PROFILES
        for each in (needs, Needs())
        for permission in required_permissions(load_profile(name), each)
    }
    looks = {("get", "", what) for what in ("persistentvolumeclaims", "serviceaccounts", "secrets")}
    assert granted == wanted | looks | {("list", "kueue.x-k8s.io", "workloads")}


def test_secrets_may_be_asked_for_by_name_only():
    names = {name for profile in map(load_profile, _SHIPPED_PROFILES) for name in profile.env_secrets}
    names |= {name for profile in map(load_profile, _SHIPPED_PROFILES) for name in profile.image_pull_secrets}
    (rule,) = [r for r in _find("Role", "korean-llm-launcher")["rules"] if "secrets" in r["resources"]]
    assert set(rule["resourceNames"]) == names


@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_nothing_may_do_everything(overlay: str):
    for manifest in _rendered(overlay):
        for rule in manifest.get("rules", []) if manifest["kind"] in ("Role", "ClusterRole") else []:
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
            assert "secrets" not in rule["resources"] or rule.get("resourceNames")


@pytest.mark.parametrize("profile_name", _SHIPPED_PROFILES)
def test_everything_that_a_profile_names_is_deployed(profile_name: str):
    profile = load_profile(profile_name)
    overlay = "kind" if profile_name == "kind" else "production"
    names = {(m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in _rendered(overlay)}
    assert ("ServiceAccount", profile.namespace, profile.service_account) in names
    for volume in profile.volumes:
        assert ("PersistentVolumeClaim", profile.namespace, volume.claim) in names
    for queue in [profile.queue, *profile.model_queues.values()] if profile.queue else []:
        assert ("LocalQueue", profile.namespace, queue) in names
    if profile.priority_class:
        assert ("PriorityClass", None, profile.priority_class) in names


def test_the_scheduler_fills_nodes_up():
    (settings,) = [m for m in _rendered("production") if m["kind"] == "ConfigMap"]
    config = yaml.safe_load(settings["data"]["config.yaml"])
    assert config["apiVersion"] == "kubescheduler.config.k8s.io/v1"
    (profile,) = config["profiles"]
    assert profile["schedulerName"] == load_profile("h100").scheduler
    assert profile["pluginConfig"][0]["args"]["scoringStrategy"]["type"] == "MostAllocated"
    mounted = _find("Deployment", "gpu-binpack-scheduler")["spec"]["template"]["spec"]["volumes"][0]["configMap"][
        "name"
    ]
    assert mounted == settings["metadata"]["name"]


def test_quotas_and_flavors_match_the_profile():
    pool = load_profile("h100").gpu_pool
    assert pool is not None
    assert sum(_gpus(queue) for queue in _queues().values()) == pool.nodes * pool.per_node
    labels = _find("ResourceFlavor", "h100")["spec"]["nodeLabels"]
    assert labels.items() <= pool.selector.items()


def _queues(overlay: str = "production") -> dict[str, dict[str, Any]]:
    return {m["metadata"]["name"]: m["spec"] for m in _rendered(overlay) if m["kind"] == "ClusterQueue"}


def _gpus(queue: dict[str, Any]) -> int:
    flavors = queue["resourceGroups"][0]["flavors"]
    quota = {r["name"]: r["nominalQuota"] for f in flavors if f["name"] == "h100" for r in f["resources"]}
    return int(quota["nvidia.com/gpu"])


@pytest.mark.parametrize("overlay", ["production", "staging"])
def test_queues_share_as_the_recipes_say(overlay: str):
    profile, queues = load_profile("h100"), _queues(overlay)
    shares = {profile.queue: 1.0}
    for name, recipe in load_model_recipes().items():
        assert recipe.share == 1 or name in profile.model_queues, f"{name} has a share, and no queue of its own"
        shares[profile.queue_of(name)] = recipe.share
    assert {name: float(queue["fairSharing"]["weight"]) for name, queue in queues.items()} == shares
    unit = sum(_gpus(queue) for queue in queues.values()) / sum(shares.values())
    assert {name: _gpus(queue) / unit for name, queue in queues.items()} == shares
    locals_ = {
        m["metadata"]["name"]: m["spec"]["clusterQueue"] for m in _rendered(overlay) if m["kind"] == "LocalQueue"
    }
    assert locals_ == {name: name for name in queues}


def test_policies_let_prometheus_in_and_select_the_pods_we_make():
    policy = _find("NetworkPolicy", "trainers")
    request = StageRequest(stage="cpt", stage_version=1, model="m", release="r")
    labels = render(request, Needs(gpus=1), load_profile("h100"), "run")["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert [port["port"] for rule in policy["spec"]["ingress"] for port in rule.get("ports", [])] == [METRICS_PORT]
    denied = _find("NetworkPolicy", "nothing-unless-said")["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_training_namespace_enforces_the_strictest_pod_security():
    assert (
        _find("Namespace", "llm-training")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    )
