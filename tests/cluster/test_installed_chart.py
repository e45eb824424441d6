"""Our chart on a real cluster: installed and upgraded by Helm's library, its rights and admission asked for real."""

import copy
import uuid
from typing import Any

import kubernetes
import pytest
from kubernetes.client import ApiException, AuthorizationV1Api, BatchV1Api, CoreV1Api

from korean_llm_assets.compute.cluster.cluster_check import Permission, required_permissions
from korean_llm_assets.compute.cluster.kube_api import KubeApi
from korean_llm_assets.compute.cluster.kubeflow import render
from korean_llm_assets.compute.profiles import load_profile, profile_paths
from tests.support.charts import Body
from tests.support.installed import PLATFORM, TRAINING, Installed
from trainers.contract import Needs, StageRequest

pytestmark = [pytest.mark.cluster, pytest.mark.prove]
_KINDS_OF_NEEDS = (Needs(), Needs(gpus=16, nodes=2))


def _profiles() -> list[str]:
    return sorted(profile_paths())


def test_an_upgrade_keeps_passwords_claims_volumes_and_jobs_and_brings_the_new_image(platform: Installed):
    core, batch = platform.core, BatchV1Api(platform.admin)
    before = _kept(core)
    request = StageRequest(stage="cpt", stage_version=1, model="m", release=uuid.uuid4().hex[:8])
    job = render(request, Needs(), platform.profile(queue=None), "run")
    job["spec"]["suspend"] = True
    made = batch.create_namespaced_job(TRAINING, job)
    tag = uuid.uuid4().hex[:12]
    platform.upgrade(images={"tag": tag})
    assert _kept(core) == before
    assert batch.read_namespaced_job(made.metadata.name, TRAINING).metadata.uid == made.metadata.uid
    profiles = core.read_namespaced_config_map("korean-llm-profiles", PLATFORM).data
    assert f"/trainer:{tag}" in profiles["h100.yaml"]
    batch.delete_namespaced_job(made.metadata.name, TRAINING, propagation_policy="Background")


def _kept(core: CoreV1Api) -> dict[str, Any]:
    """What must be the same after an upgrade: the password, and which claims and volumes there are."""
    claims = [core.read_namespaced_persistent_volume_claim("korean-llm-store", each) for each in (PLATFORM, TRAINING)]
    return {
        "password": core.read_namespaced_secret("korean-llm-database", PLATFORM).data["password"],
        "claims": [claim.metadata.uid for claim in claims],
        "volumes": sorted(volume.metadata.uid for volume in core.list_persistent_volume().items),
    }


def test_a_run_worker_may_do_what_each_launch_mode_asks_and_no_more(platform: Installed):
    """The API server's own answers for the account of the run workers: RBAC as it is bound."""
    wanted = {
        permission
        for name in _profiles()
        for needs in _KINDS_OF_NEEDS
        for permission in required_permissions(load_profile(name), needs)
    }
    assert {each for each in wanted if not _may(platform.run_worker(), each)} == set()
    granted = _granted(platform)
    assert granted - {("get", "", "secrets")} == {(each.verb, each.group, each.resource) for each in wanted}
    for namespace in (PLATFORM, "kube-system"):
        elsewhere = KubeApi(platform.as_account("dagster", PLATFORM), namespace)
        for verb, group, resource in (("get", "", "secrets"), ("delete", "batch", "jobs"), ("create", "", "pods")):
            assert not elsewhere.may(verb, group, resource), f"{verb} {resource} in {namespace}"


def _may(api: KubeApi, permission: Permission) -> bool:
    return api.may(permission.verb, permission.group, permission.resource)


def _granted(platform: Installed) -> set[tuple[str, str, str]]:
    """Everything in the training namespace, but what every account may do."""
    review = {"spec": {"namespace": TRAINING}}
    everybody = {"authentication.k8s.io", "authorization.k8s.io"}
    client = platform.as_account("dagster", PLATFORM)
    rules = AuthorizationV1Api(client).create_self_subject_rules_review(review).status.resource_rules
    return {
        (verb, group, resource)
        for rule in rules
        for verb in rule.verbs
        for group in rule.api_groups
        for resource in rule.resources
        if group not in everybody
    }


def test_the_trainers_account_may_do_nothing(platform: Installed):
    trainer = KubeApi(platform.as_account("korean-llm-trainer", TRAINING), TRAINING)
    for verb, group, resource in (("list", "", "pods"), ("get", "batch", "jobs"), ("create", "batch", "jobs")):
        assert not trainer.may(verb, group, resource)


def test_the_namespace_admits_every_pod_of_every_profile_and_no_other(platform: Installed):
    request = StageRequest(stage="cpt", stage_version=1, model="m", release="r")
    specs = {}
    for name in _profiles():
        profile = load_profile(name)
        needs = Needs(gpus=16, nodes=2) if profile.gpu_pool else Needs()
        for kind, spec in _pod_specs(render(request, needs, profile, "run")).items():
            specs[f"{name} {kind}"] = spec
    assert len(specs) >= 5
    assert {name: words for name, spec in specs.items() if (words := _refusal(platform, spec))} == {}
    as_root = copy.deepcopy(specs["h100 Job"])
    as_root["securityContext"] = {"runAsUser": 0}
    assert "violates PodSecurity" in _refusal(platform, as_root)


def _pod_specs(workload: Body) -> dict[str, Body]:
    """By the part of the workload: a TrainJob's pods are its runtime's."""
    spec = workload["spec"]
    if workload["kind"] == "Job":
        return {"Job": spec["template"]["spec"]}
    return {part: each["template"]["spec"] for part, each in spec.get("pytorchReplicaSpecs", {}).items()}


def _refusal(platform: Installed, spec: Body) -> str:
    """The admission's own words, as for the pod that a controller would make; empty where it is admitted."""
    pod = {"metadata": {"generateName": "tried-"}, "spec": {"restartPolicy": "Never", **spec}}
    try:
        platform.core.create_namespaced_pod(TRAINING, pod, dry_run="All")
    except ApiException as error:
        return str(error.body)
    return ""


def test_what_the_chart_says_is_what_is_there(platform: Installed):
    """Each object of the release exists under its name; Helm says so, and so does the API server."""
    client = kubernetes.dynamic.DynamicClient(platform.admin)
    for body in platform.manifest:
        kind = client.resources.get(api_version=body["apiVersion"], kind=body["kind"])
        where = {"namespace": body["metadata"]["namespace"]} if kind.namespaced else {}
        there = kind.get(name=body["metadata"]["name"], **where)
        assert there.metadata.labels["app.kubernetes.io/part-of"] == "korean-llm"
