"""Kueue itself with the queues of our chart: which flavor, borrowing, shares, preemption, and why a stage waits.

On a real cluster that has Kueue (KUBECONFIG); its pods are pretended, its GPUs are numbers in quotas.
"""

import json
import math
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest
from kubernetes.client import BatchV1Api

from korean_llm_assets.compute.cluster import naming
from korean_llm_assets.compute.cluster.kube_api import Clock, KubeApi
from korean_llm_assets.compute.cluster.kubeflow import render, workload_of
from korean_llm_assets.compute.cluster.launcher import Launcher
from korean_llm_assets.compute.overrides import Overrides
from korean_llm_assets.compute.profiles import ClusterProfile
from tests.cluster.conftest import until
from tests.support.installed import TRAINING, Installed
from tests.support.pretended_pods import pretended_pods
from trainers.contract import STAGES, Needs, StageRequest
from trainers.contract.artifacts import ArtifactStore

pytestmark = [pytest.mark.cluster, pytest.mark.prove]
_GPUS = 16
"""Of the installation: a quota of 8 for the model of share 2, 4 for that of share 1, 4 for all else."""
_BIG, _SMALL = "qwen2.5-72b", "qwen2.5-7b"
_ONE_GPU = Needs(gpus=1, cpu=2, memory="8Gi")


class _Stop(Exception):
    """A run that is no longer wanted."""


@pytest.fixture
def queue(platform: Installed) -> Iterator[Installed]:
    """The installation with empty queues, before and after."""
    yield platform
    batch = BatchV1Api(platform.admin)
    batch.delete_collection_namespaced_job(TRAINING, propagation_policy="Background")
    until(lambda: not batch.list_namespaced_job(TRAINING).items and not platform.objects("workloads"), 120)


def _request(model: str | None, stage: str = "cpt", needs: Needs = _ONE_GPU) -> StageRequest:
    kind = STAGES[stage]
    release = f"r-{uuid.uuid4().hex[:8]}" if kind.by_release else None
    named = model if kind.by_model else None
    seed = uuid.uuid4().int % 10**6  # needs are no part of a request's identity, and a base model has no release
    return StageRequest(stage=stage, stage_version=kind.version, model=named, release=release, needs=needs, seed=seed)


def _submit(platform: Installed, profile: ClusterProfile, request: StageRequest) -> str:
    """Create the Job as a run worker would, with its rights; gives its name."""
    body = render(request, request.needs, profile, "run")
    assert KubeApi(platform.as_account("dagster", "llm-platform"), TRAINING).create(
        workload_of(request.needs, profile), body
    )
    name: str = body["metadata"]["name"]
    return name


def _jobs(platform: Installed) -> list[Any]:
    items: list[Any] = BatchV1Api(platform.admin).list_namespaced_job(TRAINING).items
    return items


def _at_work(platform: Installed) -> Counter[str]:
    """GPUs by model of the Jobs that are admitted and not over."""
    at_work: Counter[str] = Counter()
    for job in _jobs(platform):
        if not job.spec.suspend and not any(c.type == "Complete" for c in job.status.conditions or ()):
            at_work[job.metadata.labels[naming.MODEL]] += 1
    return at_work


def test_each_stage_is_admitted_to_the_flavor_whose_nodes_its_pods_select(queue: Installed):
    """Of what the re-enactment of Kueue's selection says (tests/dagster_deploy/test_queues.py), Kueue's own word."""
    gpu, cpu = Needs(gpus=8, cpu=16, memory="64Gi"), Needs(cpu=2, memory="4Gi")
    expected = {}
    for stage in STAGES:
        for needs, flavor in ((gpu, "h100"), (cpu, "cpu")):
            expected[_submit(queue, queue.profile(), _request("tiny", stage, needs))] = flavor
    flavors: dict[str, str] = {}
    with pretended_pods(queue.admin, TRAINING, lambda pod: 1.0):
        until(lambda: len(_noted(queue, flavors)) == len(expected), 240)
    assert flavors == expected
    for job in _jobs(queue):
        selector = job.spec.template.spec.node_selector
        own = {"korean-llm/pool": "gpu", "gpu-type": "h100"} if expected[job.metadata.name] == "h100" else None
        assert selector in (own or {"korean-llm/pool": "cpu"}, own), "admission added nothing that no node has"


def _noted(platform: Installed, flavors: dict[str, str]) -> dict[str, str]:
    """Flavor by Job, kept from each workload's admission."""
    for workload in platform.objects("workloads"):
        (owner,) = workload["metadata"]["ownerReferences"]
        if admission := workload.get("status", {}).get("admission"):
            (pods,) = admission["podSetAssignments"]
            (flavor,) = set(pods["flavors"].values())
            flavors[owner["name"]] = flavor
    return flavors


def test_one_model_borrows_all_and_forty_jobs_of_two_run_in_their_shares(queue: Installed):
    profile = queue.profile()
    lasting: dict[str, float] = {"seconds": math.inf}
    with pretended_pods(queue.admin, TRAINING, lambda pod: lasting["seconds"]):
        small = [_submit(queue, profile, _request(_SMALL)) for _ in range(20)]
        until(lambda: _at_work(queue) == {_SMALL: _GPUS}, 120)
        big = [_submit(queue, profile, _request(_BIG)) for _ in range(20)]
        # Its own 8 and a share of 2 : 1 in what the third queue lends; 10.67 and 5.33 in whole Jobs.
        until(lambda: _at_work(queue) in ({_BIG: 11, _SMALL: 5}, {_BIG: 10, _SMALL: 6}), 180)
        given_way = {name for name in small if _was_preempted(queue, name)}
        assert len(given_way) >= 20 - 4 - 6, "the loan was called back from Jobs at work"
        lasting["seconds"] = 2.0
        until(lambda: all(_is_complete(job) for job in _jobs(queue)), 300)
    assert {job.metadata.name for job in _jobs(queue)} == {*small, *big}, "each Job once, to its end"


def _was_preempted(platform: Installed, job: str) -> bool:
    return any(
        condition["type"] == "Preempted"
        for workload in platform.objects("workloads")
        if workload["metadata"]["ownerReferences"][0]["name"] == job
        for condition in workload.get("status", {}).get("conditions", ())
    )


def _is_complete(job: Any) -> bool:
    return any(c.type == "Complete" and c.status == "True" for c in job.status.conditions or ())


def test_a_stage_that_waits_says_who_has_the_gpus_and_what_kueue_says(queue: Installed, tmp_path):
    """The real launcher at the real queue, with the run worker's rights."""
    profile = queue.profile(poll_seconds=0.3)
    holder = _request("tiny", needs=Needs(gpus=8, nodes=1, cpu=4, memory="8Gi"))
    other = _request("tiny", needs=Needs(gpus=8, nodes=1, cpu=4, memory="8Gi"))
    waiter = _request("tiny", needs=Needs(gpus=8, nodes=1, cpu=4, memory="8Gi"))
    messages: list[str] = []
    with pretended_pods(queue.admin, TRAINING, lambda pod: math.inf):
        for each in (holder, other):
            _submit(queue, profile, each)
        until(lambda: _at_work(queue)["tiny"] == 2, 60)
        launcher = Launcher(
            queue.run_worker(),
            profile,
            ArtifactStore(tmp_path),
            "run",
            lambda line, warning: messages.append(line),
            check=lambda: _stop_when(messages, "insufficient unused quota"),
            clock=Clock(),
        )
        with pytest.raises(_Stop):
            launcher.run(waiter, waiter.needs)
    words = next(line for line in messages if "insufficient unused quota" in line)
    assert "16 of 16 GPUs in use by cpt_checkpoint tiny" in words and holder.release in words, words


def _stop_when(messages: list[str], words: str) -> None:
    if any(words in line for line in messages):
        raise _Stop


def test_a_preempted_stage_is_no_attempt_and_goes_on(queue: Installed, tmp_path):
    """An urgent launch takes the GPUs; what gave way is suspended, not failed, and admitted again."""
    profile = queue.profile()
    needs = Needs(gpus=8, cpu=4, memory="8Gi")
    lasting: dict[str, float] = {"seconds": math.inf}
    batch = BatchV1Api(queue.admin)
    with pretended_pods(queue.admin, TRAINING, lambda pod: lasting["seconds"]):
        first, second = (_submit(queue, profile, _request("tiny", needs=needs)) for _ in range(2))
        until(lambda: _at_work(queue)["tiny"] == 2, 60)
        urgently = Overrides(priority_class="urgent").apply_to_profile(profile)
        name = _submit(queue, urgently, _request("tiny", needs=needs))
        until(lambda: batch.read_namespaced_job(name, TRAINING).spec.suspend is False, 60)
        (gave_way,) = until(lambda: [each for each in (first, second) if _suspended(batch, each)], 60)
        until(lambda: not _pods_of(queue, gave_way), 60)
        lasting["seconds"] = 1.0
        until(lambda: all(_is_complete(job) for job in _jobs(queue)), 120)
    assert {job.metadata.name for job in _jobs(queue)} == {first, second, name}
    assert not batch.read_namespaced_job(gave_way, TRAINING).status.failed


def _suspended(batch: BatchV1Api, name: str) -> bool:
    return bool(batch.read_namespaced_job(name, TRAINING).spec.suspend)


def _pods_of(platform: Installed, job: str) -> list[Any]:
    selector = f"batch.kubernetes.io/job-name={job}"
    items: list[Any] = platform.core.list_namespaced_pod(TRAINING, label_selector=selector).items
    return items


def test_every_queue_is_active_and_adds_up_to_the_nodes(queue: Installed):
    queues = queue.objects("clusterqueues")
    assert {each["metadata"]["name"] for each in queues} >= {"training", _BIG, _SMALL}
    for each in queues:
        states = {c["type"]: c["status"] for c in each["status"]["conditions"]}
        assert states["Active"] == "True", json.dumps(each["status"])
    quota = sum(
        int(resource["nominalQuota"])
        for each in queues
        for group in each["spec"]["resourceGroups"]
        for flavor in group["flavors"]
        for resource in flavor["resources"]
        if resource["name"] == "nvidia.com/gpu"
    )
    assert quota == _GPUS


def test_a_workload_of_no_queue_is_nobodys_business(queue: Installed):
    """manageJobsWithoutQueueName: false, as helm-values/kueue.yaml says: a Job that names no queue just starts."""
    job = {
        "metadata": {"name": "somebody-elses"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "x", "image": "x"}]}}},
    }
    core = kubernetes.client.CoreV1Api(queue.admin)
    namespace = f"other-{uuid.uuid4().hex[:6]}"
    core.create_namespace({"metadata": {"name": namespace}})
    try:
        created = BatchV1Api(queue.admin).create_namespaced_job(namespace, job)
        assert not created.spec.suspend
    finally:
        core.delete_namespace(namespace)
