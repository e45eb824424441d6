"""Our chart, rendered by Helm's own library: valid objects, least privilege, facts that are checked and all used."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml

from korean_llm_assets.compute.cluster.job_spec import METRICS_PORT
from korean_llm_assets.compute.cluster.kubeflow import render
from korean_llm_assets.compute.overrides import Overrides
from korean_llm_assets.compute.profiles import load_profile, profile_paths
from tests.support import charts
from tests.support.charts import Body, find, ours, pods
from tests.support.crds import crd_schema
from tests.support.pod_security import violations
from trainers.contract import Needs, StageRequest
from trainers.contract.recipe.loading import load_model_recipes

_EVERYTHING = {
    "hosts": {"viewers": "look.example.com"},
    "entrance": {"kind": "ingress", "ingressClass": "traefik"},
    "serving": {"enabled": True, "settings": {"max_replicas": 4}},
    "training": {
        "operatorNamespace": "kubeflow",
        "egress": [{"cidr": "203.0.113.7/32", "port": 443}, {"namespace": "judges", "port": 8000}],
    },
    "store": {"storageClass": "shared"},
    "database": {"storageClass": "fast"},
}
_INSTALLATIONS = {"gpus": charts.facts(), "kind": charts.facts(charts.KIND), "all": charts.facts(**_EVERYTHING)}
_PUBLIC_KINDS = ("HTTPRoute", "PrometheusRule", "PodMonitor")
"""Whose schemas are not at hand here."""


@pytest.mark.parametrize("installation", _INSTALLATIONS)
def test_every_object_is_valid_and_belongs_to_the_chart(installation: str):
    for body in ours(_INSTALLATIONS[installation]):
        group, _, version = body["apiVersion"].rpartition("/")
        if group == "kueue.x-k8s.io":
            jsonschema.validate(
                body, crd_schema(f"{group}_{body['kind'].lower()}s.yaml".replace("classs", "classes"), version)
            )
        elif body["kind"] not in _PUBLIC_KINDS:
            kubernetes_validate.validate(body, "1.32", strict=True)
        assert body["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") == "korean-llm", body["metadata"]


@pytest.mark.parametrize("installation", _INSTALLATIONS)
def test_no_name_is_given_twice_and_helm_finds_no_fault(installation: str):
    given = _INSTALLATIONS[installation]
    names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in ours(given)]
    assert len(names) == len(set(names))
    assert helm_python.lint(charts.DEPLOY / "chart", given, strict=True)["errors"] == []


def test_what_a_cluster_is_given_is_the_agreed_list():
    """To change it on purpose: `python -m tests.dagster_deploy.test_chart` writes the list anew."""
    assert _listed() == charts.DEPLOY.joinpath(_LIST).read_text(encoding="utf-8")


_LIST = "../tests/dagster_deploy/chart_objects.txt"


def _listed() -> str:
    names = (f"{each['kind']} {each['metadata'].get('namespace', '-')} {each['metadata']['name']}\n" for each in ours())
    return "".join(sorted(names))


def _objects_of(facts: Body, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of the maps below the facts whose keys are the schema's."""
    free = {"env", "recipes", "profiles", "settings", "charts"}
    yield path
    for key, value in facts.items():
        if isinstance(value, dict) and key not in free:
            yield from _objects_of(value, (*path, key))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield (*path, key, 0)


@pytest.mark.parametrize(
    "path", list(_objects_of(charts.facts(**_EVERYTHING))), ids=lambda path: ".".join(map(str, path))
)
def test_an_unknown_fact_is_refused_wherever_it_stands(path: tuple[Any, ...]):
    facts = copy.deepcopy(charts.facts(**_EVERYTHING))
    target: Any = facts
    for key in path:
        target = target[key]
    target["registri"] = "x"
    with (
        helm_python.Chart.load(charts.DEPLOY / "chart") as chart,
        pytest.raises(helm_python.HelmValuesError, match="registri"),
    ):
        chart.validate_schema(facts)


def _leaves(facts: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(facts, dict) and facts:
        for key, value in facts.items():
            yield from _leaves(value, (*path, key))
    else:
        yield path


_ELSEWHERE = {
    ("charts",): "passed on to the public charts by `install`",
    ("store", "nfs"): "one of three kinds of store",
    ("entrance", "gateway"): "an Ingress has none",
    ("database", "host"): "read by the public charts (helm-values/)",
}


@pytest.mark.parametrize("path", list(_leaves(charts.facts(**_EVERYTHING))), ids=lambda path: ".".join(map(str, path)))
def test_every_fact_changes_something(path: tuple[Any, ...]):
    if any(path[: len(known)] == known for known in _ELSEWHERE):
        return
    facts = copy.deepcopy(charts.facts(**_EVERYTHING))
    target: Any = facts
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = _another(target[path[-1]], path)
    if path == ("store", "hostPath"):
        assert any(each["kind"] == "Job" for each in ours(facts))
    assert _text(facts) != _text(charts.facts(**_EVERYTHING))


def _text(facts: Body) -> str:
    settled = copy.deepcopy(ours(facts))
    for body in settled:
        body.pop("stringData", None)  # a new password each time
    return json.dumps(settled)


def _another(value: Any, path: tuple[Any, ...]) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if path[-1] == "gpuNodes":
        return [*value, {**value[0], "type": "b300", "gpuMemory": "270Gi"}]
    if path[-1] in ("egress", "models"):
        return value[:-1]
    if isinstance(value, list):
        return [*value, "other"]
    if isinstance(value, dict):
        return {"another": "text"}
    return {"kind": "none", "pullPolicy": "Always", "hostPath": "/x", "issuer": "https://other"}.get(
        path[-1], f"1{value}" if str(value)[:1].isdigit() else f"x{value}"
    )


@pytest.mark.parametrize("installation", _INSTALLATIONS)
def test_every_pod_of_ours_is_restricted(installation: str):
    root = {"Job korean-llm-store-owner"}  # gives the folder to user 1000; in kube-system
    pods = charts.pods(ours(_INSTALLATIONS[installation]))
    assert {name: violations(pod) for name, pod in pods.items() if name not in root and violations(pod)} == {}


@pytest.mark.parametrize("profile_name", sorted(profile_paths()))
def test_every_pod_of_a_stage_is_restricted(profile_name: str):
    profile, request = load_profile(profile_name), StageRequest(stage="cpt", stage_version=1, model="m", release="r")
    needs = Needs(gpus=16, nodes=2) if profile.gpu_pool else Needs()
    job = render(request, needs, profile, "run")
    replicas = job["spec"].get("pytorchReplicaSpecs", {"": job["spec"]})
    for each in replicas.values():
        if job["kind"] != "TrainJob":  # whose pods are the ClusterTrainingRuntime's
            assert violations(each["template"]["spec"]) == []


def test_what_the_training_operator_puts_before_a_worker_is_restricted():
    """Its template is filled in as the operator does (pytorch/initcontainer.go of training-operator v1)."""
    container = find(ours(charts.facts(**_EVERYTHING)), "ConfigMap", "korean-llm-pytorch-init-container")
    text = container["data"]["initContainer.yaml"]
    filled = text.replace("{{.InitContainerImage}}", "alpine:3.10").replace("{{.MasterAddr}}", "cpt-1-master-0")
    request = StageRequest(stage="cpt", stage_version=1, model="m", release="r")
    job = render(request, Needs(gpus=16, nodes=2), load_profile("h100-pytorchjob"), "run")
    worker = job["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]
    worker["initContainers"] = yaml.safe_load(filled)
    assert violations(worker) == [] and "{" not in json.dumps(worker["initContainers"][0]["command"])
    (patched,) = yaml.safe_load((charts.DEPLOY / "training-operator.yaml").read_text())["spec"]["template"]["spec"][
        "volumes"
    ]
    assert patched["configMap"]["name"] == container["metadata"]["name"]


@pytest.mark.parametrize("installation", _INSTALLATIONS)
def test_nothing_may_do_everything(installation: str):
    for body in ours(_INSTALLATIONS[installation]):
        for rule in body.get("rules", []) if body["kind"] in ("Role", "ClusterRole") else []:
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
            assert "secrets" not in rule["resources"] or rule.get("resourceNames"), "no names: every Secret"


def test_what_people_and_models_leave_behind_outlives_the_release():
    kept = {
        each["kind"]
        for each in ours()
        if each["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    assert kept == {"Namespace", "PersistentVolume", "PersistentVolumeClaim", "Secret"}


def test_the_folder_of_a_node_is_given_to_the_user_of_every_pod():
    (job,) = [each for each in ours(charts.facts(charts.KIND)) if each["kind"] == "Job"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    security = load_profile("cpu").security
    assert container["command"] == ["chown", f"{security.user}:{security.group}", "/store"]
    volume = find(ours(charts.facts(charts.KIND)), "PersistentVolume", "korean-llm-store-training")
    assert job["spec"]["template"]["spec"]["volumes"][0]["hostPath"] == volume["spec"]["hostPath"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"
    assert not [each for each in ours() if each["kind"] == "Job"], "an export's owner is its server's to set"


def test_the_training_namespace_enforces_the_strictest_pod_security():
    labels = find(ours(), "Namespace", "llm-training")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_database_that_starts_slowly_is_not_ended_in_the_midst_of_making_itself():
    """Seen on a busy node: `initdb` took two minutes, the liveness probe ended it, and `mlflow` was never made."""
    (container,) = pods(ours())["StatefulSet korean-llm-database"]["containers"]
    first, alive = container["startupProbe"], container["livenessProbe"]
    assert first["periodSeconds"] * first["failureThreshold"] >= 600
    assert alive["periodSeconds"] * alive["failureThreshold"] >= 300, "ended after 90 s of a busy node, with every run"
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        command = container[kind]["exec"]["command"]
        assert command[:3] == ["pg_isready", "-h", "127.0.0.1"], "the image's own first server hears a socket only"
        assert container[kind]["timeoutSeconds"] >= 5, "a probe's own second is short for a process to start"


def test_the_scheduler_fills_nodes_up():
    config = yaml.safe_load(find(ours(), "ConfigMap", "gpu-binpack-scheduler")["data"]["config.yaml"])
    assert config["apiVersion"] == "kubescheduler.config.k8s.io/v1"
    (profile,) = config["profiles"]
    assert profile["schedulerName"] == load_profile("h100").scheduler
    assert profile["pluginConfig"][0]["args"]["scoringStrategy"]["type"] == "MostAllocated"


@pytest.mark.parametrize("profile_name", sorted(profile_paths()))
def test_everything_that_a_profile_names_is_deployed(profile_name: str):
    profile = load_profile(profile_name)
    names = {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in ours()}
    assert ("ServiceAccount", profile.namespace, profile.service_account) in names
    for volume in profile.volumes:
        assert ("PersistentVolumeClaim", profile.namespace, volume.claim) in names
    for queue in [profile.queue, *profile.model_queues.values()] if profile.queue else []:
        assert ("LocalQueue", profile.namespace, queue) in names
    assert ("PriorityClass", None, profile.priority_class) in names


def test_what_a_launch_may_say_to_pass_the_others_is_what_the_queues_know():
    (classes,) = [each for each in ours() if each["kind"] == "WorkloadPriorityClass"]
    known = Overrides.model_fields["priority_class"].description
    assert known and f"WorkloadPriorityClass ({classes['metadata']['name']})" in known
    training = find(ours(), "PriorityClass", load_profile("h100").priority_class or "")
    assert classes["value"] > training["value"], "a launch that says nothing has its pods' priority in the queue"


def test_models_with_a_share_have_a_queue_of_that_weight():
    profile = load_profile("h100")
    shares = {profile.queue: 1.0}
    for name, recipe in load_model_recipes().items():
        assert recipe.share == 1 or name in profile.model_queues, f"{name} has a share, and no queue of its own"
        shares[profile.queue_of(name)] = recipe.share
    weights = {
        each["metadata"]["name"]: float(each["spec"]["fairSharing"]["weight"])
        for each in ours()
        if each["kind"] == "ClusterQueue"
    }
    assert weights == shares


def test_a_bumped_chart_keeps_data_and_running_jobs():
    """An upgrade changes no field that Kubernetes holds for ever, and removes nothing that a Job rests on."""
    before, after = ours(), ours(charts.facts(images={"tag": "def456"}), upgrade=True)
    names = {(each["kind"], each["metadata"]["name"]) for each in before}
    assert names == {(each["kind"], each["metadata"]["name"]) for each in after}
    for kind, name, fields in (
        ("StatefulSet", "korean-llm-database", ("selector", "serviceName", "volumeClaimTemplates")),
        ("PersistentVolumeClaim", "korean-llm-store", ("accessModes", "storageClassName", "volumeName", "resources")),
        ("Deployment", "gpu-binpack-scheduler", ("selector",)),
    ):
        old = [each["spec"] for each in before if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        new = [each["spec"] for each in after if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        for field in fields:
            assert [each.get(field) for each in old] == [each.get(field) for each in new]


def test_policies_let_prometheus_in_and_select_the_pods_we_make():
    policy = find(ours(), "NetworkPolicy", "trainers")
    request = StageRequest(stage="cpt", stage_version=1, model="m", release="r")
    labels = render(request, Needs(gpus=1), load_profile("h100"), "run")["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert [port["port"] for rule in policy["spec"]["ingress"] for port in rule.get("ports", [])] == [METRICS_PORT]


if __name__ == "__main__":
    charts.DEPLOY.joinpath(_LIST).write_text(_listed(), encoding="utf-8")
