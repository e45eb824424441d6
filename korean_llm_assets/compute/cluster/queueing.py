"""Why a workload waits in its queue, in words: what Kueue says, and who has the GPUs."""

from collections.abc import Sequence

from korean_llm_assets.compute.cluster import naming
from korean_llm_assets.compute.cluster.job_spec import QUEUE_LABEL
from korean_llm_assets.compute.cluster.kube_api import KubeApi
from korean_llm_assets.compute.cluster.workloads import WORKLOADS, Body
from korean_llm_assets.compute.profiles import ClusterProfile


def queue_words(api: KubeApi, profile: ClusterProfile, body: Body, warnings: Sequence[str]) -> str:
    """The reason for a suspended workload's waiting, e.g. "queue: 8 of 8 GPUs in use by cpt_checkpoint 7b (8)".

    Args:
        warnings: messages of its warning events: why Kueue does not take it up at all.
    """
    entries = api.queue_entries(body["metadata"]["uid"])
    reasons = [
        condition["message"]
        for entry in entries
        for condition in entry.get("status", {}).get("conditions") or []
        if condition["type"] == "QuotaReserved" and condition["status"] == "False"
    ]
    return "; ".join([f"queue: {_in_use(api, profile, body)}", *(reasons if entries else warnings[-1:])])


def _in_use(api: KubeApi, profile: ClusterProfile, body: Body) -> str:
    pool = profile.gpu_pool
    if pool is None:
        return f"waiting for {body['metadata']['labels'].get(QUEUE_LABEL)} to admit it"
    kind = WORKLOADS[profile.workload]
    holders = [
        (other, gpus_of(other, pool.resource))
        for other in api.find(kind, f"{naming.MANAGED}={naming.MANAGER}")  # of any queue: they lend to each other
        if kind.terminal_state(other) is None and not kind.is_suspended(other)
    ]
    used = sum(gpus for _, gpus in holders)
    names = ", ".join(f"{_who(other)} ({gpus})" for other, gpus in holders if gpus)
    return f"{used} of {pool.nodes * pool.per_node} GPUs in use" + (f" by {names}" if names else "")


def gpus_of(body: Body, resource: str) -> int:
    """GPUs that a workload holds, over all its pods."""
    spec = body["spec"]
    if "pytorchReplicaSpecs" in spec:
        parts = [(each["replicas"], each["template"]["spec"]) for each in spec["pytorchReplicaSpecs"].values()]
    elif "trainer" in spec:
        limits = spec["trainer"]["resourcesPerNode"].get("limits", {})
        return int(spec["trainer"].get("numNodes", 1)) * int(limits.get(resource, 0))
    else:
        parts = [(spec.get("parallelism", 1), spec["template"]["spec"])]
    return sum(
        count * int(container.get("resources", {}).get("limits", {}).get(resource, 0))
        for count, pod in parts
        for container in pod["containers"]
    )


def _who(body: Body) -> str:
    labels = body["metadata"]["labels"]
    return " ".join(labels[key] for key in (naming.ASSET, naming.MODEL, naming.RELEASE) if key in labels)
