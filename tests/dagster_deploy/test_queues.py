"""Flavors x pods: Kueue's own selection, by both rules, over every Job of every profile; quotas follow the facts."""

from typing import Any

import pytest

from korean_llm_assets.compute.cluster.kubeflow import render
from korean_llm_assets.compute.profiles import load_profile, profile_paths
from tests.support import charts
from tests.support.charts import Body, ours
from tests.support.kueue_flavors import Rule, admitted_selector, flavors_in_order
from trainers.contract import STAGES, Needs, StageRequest

_RULES: tuple[Rule, ...] = ("own keys", "union of keys")
_NODES = ({"korean-llm/pool": "gpu", "gpu-type": "h100"}, {"korean-llm/pool": "cpu"})
"""The labels that label-nodes.sh and the README give (a test of the documents holds them)."""
_QUEUED = [name for name in sorted(profile_paths()) if load_profile(name).queue]


def _pods(profile_name: str, model: str) -> list[tuple[str, Body]]:
    profile = load_profile(profile_name)
    pods = []
    for stage in STAGES.values():
        for needs in [Needs(), *([Needs(gpus=8)] if profile.gpu_pool else [])]:
            of_model = model if stage.by_model else None
            request = StageRequest(
                stage=stage.name,
                stage_version=1,
                model=of_model,
                release="r" if stage.by_release else None,
                needs=needs,
            )
            spec: dict[str, Any] = render(request, needs, profile, "run")["spec"]
            template = spec.get("pytorchReplicaSpecs", {}).get("Master", spec).get("template")
            if template:  # a TrainJob has none: its pods are the ClusterTrainingRuntime's
                pods.append((f"{stage.name} {needs.gpus}", template["spec"]))
    return pods


@pytest.mark.parametrize("rule", _RULES)
@pytest.mark.parametrize("profile_name", _QUEUED)
def test_every_stage_is_admitted_to_a_node_that_there_is(profile_name: str, rule: Rule):
    for model in ("tiny", "qwen2.5-7b", "qwen2.5-72b"):
        queue = load_profile(profile_name).queue_of(model)
        flavors = flavors_in_order(ours(), str(queue))
        for name, pod in _pods(profile_name, model):
            selector = admitted_selector(pod, flavors, rule)
            assert selector is not None, f"{name} of {model} is never admitted"
            assert any(selector.items() <= node.items() for node in _NODES), f"{name}: no node has {selector}"


def test_the_re_enactment_finds_the_flavor_that_lacks_a_label():
    """The two faults that were seen: stages on the wrong flavor by the one rule, on none by the other."""
    incomplete = {"spec": {"nodeLabels": {"gpu-type": "h100"}}}
    cpu = {"spec": {"nodeLabels": {"korean-llm/pool": "cpu"}}}
    on_cpu, on_gpu = {"nodeSelector": _NODES[1]}, {"nodeSelector": _NODES[0]}
    assert admitted_selector(on_cpu, [incomplete, cpu], "own keys") == {"korean-llm/pool": "cpu", "gpu-type": "h100"}
    assert admitted_selector(on_gpu, [incomplete, cpu], "union of keys") is None


@pytest.mark.parametrize(
    ("nodes", "models"),
    [
        ([("h100", 4, 8)], {"qwen2.5-72b": 2, "qwen2.5-7b": 1}),
        ([("h100", 1, 8)], {"qwen2.5-72b": 2, "qwen2.5-7b": 1}),
        ([("h100", 3, 8), ("a100", 5, 4)], {"own": 1.5}),
        ([("h100", 2, 8)], {}),
    ],
)
def test_quotas_are_all_the_nodes_divided_by_share(nodes: list[tuple[str, int, int]], models: dict[str, float]):
    kinds = [
        {"type": name, "nodes": count, "gpus": gpus, "cpu": 120, "memory": "900Gi", "pricePerHour": 1}
        for name, count, gpus in nodes
    ]
    shared = [{"name": name, "share": share} for name, share in models.items()]
    given = charts.facts(gpuNodes=kinds, queues={"models": shared})
    queues = {each["metadata"]["name"]: each["spec"] for each in ours(given) if each["kind"] == "ClusterQueue"}
    shares = {"training": 1.0, **models}
    assert {name: float(spec["fairSharing"]["weight"]) for name, spec in queues.items()} == shares
    for name, count, gpus in nodes:
        quotas = {queue: _quota(spec, name, "nvidia.com/gpu") for queue, spec in queues.items()}
        assert sum(quotas.values()) == count * gpus, "none is lost, none is given twice"
        for queue, quota in quotas.items():
            exact = count * gpus * shares[queue] / sum(shares.values())
            assert quota >= int(exact) and (queue == "training" or quota == int(exact))
        assert sum(_quota(spec, name, "cpu") for spec in queues.values()) == 120 * count
    assert sum(_quota(spec, "cpu", "nvidia.com/gpu") for spec in queues.values()) == 0


def _quota(queue: Body, flavor: str, resource: str) -> int:
    (group,) = queue["resourceGroups"]
    amounts = next(each["resources"] for each in group["flavors"] if each["name"] == flavor)
    return int(next(each["nominalQuota"] for each in amounts if each["name"] == resource).removesuffix("Gi"))
