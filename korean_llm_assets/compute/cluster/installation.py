"""Is this cluster installed well enough for a first run? Asked by `check` in a pod of the deployment (`helm test`)."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from korean_llm_assets.compute.cluster.cluster_check import check_cluster
from korean_llm_assets.compute.cluster.kube_api import KubeApi, connect
from korean_llm_assets.compute.profiles import ClusterProfile, load_profile, profile_folders
from korean_llm_assets.http import get_json
from trainers.contract import Needs, ServiceMissing, StageError

_API_SECONDS = 15
_TRACKING_SECONDS = 60
"""For MLflow's first answer: of a server that has just started on a busy node it took more than 15 s."""


def problems(folders: list[Path], tracking: str) -> Iterator[str]:
    """A sentence for each thing that a run would stumble over.

    Args:
        folders: of the store; runs and Jobs write below them.
        tracking: MLflow's address, as runs and Jobs call it.
    """
    for folder in folders:
        yield from _not_writable(folder)
    yield from _no_tracking(tracking)
    # The installation's own: the packaged ones name nodes and Secrets that this cluster need not have.
    for name in sorted(path.stem for path in profile_folders()[-1].glob("*.yaml")):
        try:
            profile = load_profile(name)
            api = KubeApi(connect(profile.context), profile.namespace, _API_SECONDS)
            for needs in _kinds_of_needs(profile):
                check_cluster(api, profile, needs)
            yield from _idle_queues(api, profile)
        except StageError as error:
            yield f"profile {name} (launch: {profile.launch}): {error}"


def _kinds_of_needs(profile: ClusterProfile) -> list[Needs]:
    pool = profile.gpu_pool
    return [Needs(), *([Needs(gpus=2 * pool.per_node, nodes=2)] if pool else [])]


def _not_writable(folder: Path) -> Iterator[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield (
            f"the store is not writable for user {os.getuid()} at {folder} ({error}): its files must belong to user "
            "1000 (dagster_deploy/README.md, step 3)"
        )


def _no_tracking(address: str) -> Iterator[str]:
    if not address.startswith("http"):
        return
    try:
        # Not /health or /version: those answer whatever name MLflow is called by.
        get_json("MLflow", f"{address}/api/2.0/mlflow/experiments/search", {"max_results": 1}, _TRACKING_SECONDS)
    except ServiceMissing as error:
        hint = " (the name is not in serverAllowedHosts of helm-values/mlflow.yaml)" if "HTTP 403" in str(error) else ""
        yield f"{error}{hint}"


def _idle_queues(api: KubeApi, profile: ClusterProfile) -> Iterator[str]:
    for queue in sorted({profile.queue, *profile.model_queues.values()} if profile.queue else ()):
        state = api.local_queue(str(queue))
        if state is None:
            yield f"no LocalQueue {queue!r} in namespace {api.namespace!r}: Jobs of profile {profile.name} never start"
            continue
        for condition in state.get("status", {}).get("conditions", []):
            if condition["type"] == "Active" and condition["status"] != "True":
                yield f"LocalQueue {queue!r} admits nothing: {condition.get('message') or condition.get('reason')}"
