"""Rendered workloads: every recipe x profile, against schemas, snapshots and the rules that no pod may break."""

import os
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from korean_llm_assets.compute.cluster.job_spec import CONTAINER, render_service
from korean_llm_assets.compute.cluster.kubeflow import render
from korean_llm_assets.compute.preflight import check_fit
from korean_llm_assets.compute.profiles import load_profile, profile_paths
from tests.support.crds import crd_schema
from trainers.contract import STAGES, DoesNotFit, Input, Needs, StageRequest
from trainers.contract.recipe.loading import load_data_recipe, load_model_recipes, section_dict

_SNAPSHOTS = Path(__file__).with_name("snapshots")
_KUBERNETES = "1.32"
_MESSAGES = {"DAGSTER_PIPES_CONTEXT": "pipes-context", "DAGSTER_PIPES_MESSAGES": "pipes-messages"}
_RECIPES: dict[str, Any] = {"corpus": load_data_recipe(), **load_model_recipes()}
_SHOWN = ("corpus", "qwen2.5-72b", "qwen2.5-7b", "tiny")
"""One recipe of each kind (data, several nodes, one node, no GPU) stands in the snapshots; the rules hold for all."""
_CASES = [(recipe, profile) for recipe in sorted(_RECIPES) for profile in sorted(profile_paths())]


def _requests(recipe_name: str) -> list[StageRequest]:
    recipe = _RECIPES[recipe_name]
    return [
        StageRequest(
            stage=stage.name,
            stage_version=stage.version,
            model=recipe_name if stage.by_model else None,
            release="2024-01" if stage.by_release else None,
            section=section_dict(section),
            inputs=(Input(name="upstream", digest="d", path="upstream/model/digest"),),
            needs=section.needs,
        )
        for stage in STAGES.values()
        if (section := getattr(recipe, stage.name, None)) is not None
    ]


def _rendered(recipe: str, profile_name: str) -> list[tuple[StageRequest, dict[str, Any]]]:
    profile = load_profile(profile_name)
    problems = []
    for request in _requests(recipe):
        try:
            check_fit(request, request.needs, profile)
        except DoesNotFit:
            continue  # the snapshot then lacks this stage
        problems.append((request, render(request, request.needs, profile, "run-1", 1, _MESSAGES)))
    return problems


def _pod(manifest: dict[str, Any]) -> dict[str, Any]:
    replicas = manifest["spec"].get("pytorchReplicaSpecs")
    pod: dict[str, Any] = (replicas["Master"] if replicas else manifest["spec"])["template"]["spec"]
    return pod


def _without_digest(request: StageRequest, manifest: dict[str, Any]) -> dict[str, Any]:
    """Digests are left out: a snapshot changes when what is launched changes, not when a learning rate does."""
    text = yaml.safe_dump(manifest, allow_unicode=True, width=200)
    for digest in (request.digest, request.digest[:32], request.digest[:12]):
        text = text.replace(digest, "DIGEST")
    schema: dict[str, Any] = yaml.safe_load(text)
    return schema


def _leaves(node: Any, path: str = "") -> dict[str, Any]:
    """Every value by its path; items of a list by their name where they have one."""
    if isinstance(node, dict) and node:
        parts = list(node.items())
    elif isinstance(node, list) and node and isinstance(node[0], dict):
        parts = [(part.get("name", number), part) for number, part in enumerate(node)]
    else:
        return {path: node}
    return {at: leaf for key, part in parts for at, leaf in _leaves(part, f"{path}/{key}").items()}


def _snapshot(profile: str) -> dict[str, Any]:
    """All workloads of a profile: one whole without GPUs, one with, and of each other one the values that differ."""
    whole: dict[str, dict[str, Any]] = {}
    differing: dict[str, dict[str, Any]] = {}
    for recipe in _SHOWN:
        for request, manifest in _rendered(recipe, profile):
            shown = _without_digest(request, manifest)
            like = whole.setdefault("with GPUs" if request.needs.gpus else "without GPUs", shown)
            mine, other = _leaves(shown), _leaves(like)
            changed = {
                path: mine.get(path, "(absent)") for path in {**other, **mine} if mine.get(path) != other.get(path)
            }
            differing[f"{recipe} {request.stage}"] = changed
    return {"whole": whole, "differing": differing}


@pytest.mark.parametrize("profile", sorted(profile_paths()))
def test_snapshot(profile: str):
    text = yaml.safe_dump(_snapshot(profile), sort_keys=True, allow_unicode=True, width=200)
    path = _SNAPSHOTS / f"{profile}.yaml"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    update = (
        "if that is meant: UPDATE_SNAPSHOTS=1 python -m pytest tests/korean_llm_assets/compute/cluster/test_job_spec.py"
    )
    assert path.exists(), f"no snapshot of {profile}; {update}"
    assert text == path.read_text(encoding="utf-8"), f"what is launched changed; {update}"


@pytest.mark.parametrize(("recipe", "profile"), _CASES)
def test_every_workload_is_valid_and_keeps_the_rules(recipe: str, profile: str):
    for request, manifest in _rendered(recipe, profile):
        if manifest["kind"] == "Job":
            kubernetes_validate.validate(manifest, _KUBERNETES, strict=True)
        if manifest["kind"] != "TrainJob":  # whose pods are the ClusterTrainingRuntime's
            _check_pod(request.needs, _pod(manifest))


@pytest.mark.parametrize("recipe", sorted(_RECIPES))
def test_every_packaged_recipe_fits_the_guides_cluster(recipe: str):
    for request in _requests(recipe):
        check_fit(request, request.needs, load_profile("h100"))


def _check_pod(needs: Needs, pod: dict[str, Any]) -> None:
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        resources = container["resources"]
        assert resources["limits"] == resources["requests"], "a GPU needs a limit; memory over its request is evicted"
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False and security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
    limits = pod["containers"][0]["resources"]["limits"]
    assert limits.get("nvidia.com/gpu", "0") == str(needs.gpus // needs.nodes)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert pod["terminationGracePeriodSeconds"] >= 60
    assert any(volume.get("emptyDir", {}).get("medium") == "Memory" for volume in pod["volumes"])
    assert "/dev/shm" in [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    if needs.gpus:
        assert pod["nodeSelector"]["gpu-type"] == "h100"
        assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def _gpu_request() -> StageRequest:
    inputs = (Input(name="base_model", digest="d", path="base_model/m/abc"),)
    return StageRequest(stage="cpt", stage_version=1, model="m", release="r", inputs=inputs)


@pytest.mark.parametrize("workload", ["pytorchjob", "trainjob"])
@pytest.mark.parametrize("needs", [Needs(gpus=1), Needs(gpus=4), Needs(gpus=16, nodes=2)])
def test_kubeflow_workloads_match_their_crds(workload: str, needs: Needs):
    manifest = render(_gpu_request(), needs, load_profile(f"h100-{workload}"), "run-1", 1, _MESSAGES)
    group = manifest["apiVersion"].partition("/")[0]
    jsonschema.validate(manifest, crd_schema(f"{group}_{workload}s.yaml", manifest["apiVersion"].partition("/")[2]))
    if workload == "pytorchjob":
        _check_pod(needs, _pod(manifest))
        assert manifest["spec"]["pytorchReplicaSpecs"].get("Worker", {}).get("replicas", 0) == needs.nodes - 1
    else:
        assert manifest["spec"]["trainer"]["numNodes"] == needs.nodes


def test_several_nodes_become_an_indexed_job_with_a_service():
    request = _gpu_request()
    needs, profile = Needs(gpus=16, nodes=2, cpu=64, memory="800Gi"), load_profile("h100")
    job = render(request, needs, profile, "run-1")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 2, 2)
    env = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    name = job["metadata"]["name"]
    assert env["PET_MASTER_ADDR"] == f"{name}-0.{name}" and env["PET_NPROC_PER_NODE"] == "8"
    assert pod["containers"][0]["command"][:5] == ["python", "-m", "trainers.torchrun", "-m", "trainers"]
    assert int(env["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]) < pod["terminationGracePeriodSeconds"], "time to save"
    service = render_service(request, needs, profile, {**job, "metadata": {**job["metadata"], "uid": "u"}})
    assert service is not None and service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["metadata"]["ownerReferences"][0]["uid"] == "u"
    kubernetes_validate.validate(job, _KUBERNETES, strict=True)
    kubernetes_validate.validate(service, _KUBERNETES, strict=True)


def test_a_profiles_selector_replaces_and_never_joins_another():
    """A deep merge with the code location's `pool: cpu` gave a pod that no node could take."""
    pod = _pod(render(_gpu_request(), Needs(gpus=1), load_profile("h100"), "run-1"))
    assert pod["nodeSelector"] == {"korean-llm/pool": "gpu", "gpu-type": "h100"}
    assert pod["serviceAccountName"] == "korean-llm-trainer"


def test_no_secret_value_is_in_a_workload(monkeypatch: pytest.MonkeyPatch):
    canary = "canary-3f9c-never-show"
    for name in (
        "WANDB_API_KEY",
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "MLFLOW_TRACKING_PASSWORD",
        "DAGSTER_PG_PASSWORD",
    ):
        monkeypatch.setenv(name, canary)
    for recipe, profile in _CASES:
        for request, manifest in _rendered(recipe, profile):
            assert canary not in yaml.safe_dump(manifest)
            assert canary not in request.model_dump_json()
    container = _pod(_rendered("corpus", "h100")[0][1])["containers"][0]
    assert container["name"] == CONTAINER
    assert container["envFrom"] == [{"secretRef": {"name": "korean-llm-tracking"}}]


def test_inputs_are_copied_to_the_node_before_training():
    pod = _pod(render(_gpu_request(), Needs(gpus=1), load_profile("h100"), "run-1"))
    (init,) = pod["initContainers"]
    path = "/mnt/korean-llm/artifacts/base_model/m/abc"
    assert init["command"][-1] == f"cp -a '{path}' '/staged/base_model'"
    staged = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "staged"]
    assert staged == [{"name": "staged", "mountPath": path, "subPath": "base_model", "readOnly": True}]
