"""The orphan sweep: Jobs whose run is over and that no other run attached to are reported, or removed."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from korean_llm_assets.compute.cluster import naming
from korean_llm_assets.compute.cluster.kube_api import KubeApi, connect
from korean_llm_assets.compute.cluster.workloads import WORKLOADS, Body, Workload
from korean_llm_assets.compute.profiles import ClusterProfile, load_profile

_GRACE_SECONDS = 900
"""After a failed run, a retried one may still come and attach."""
_OVER = {DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS}


@dataclass(frozen=True)
class RunState:
    """What Dagster knows of a run. `ended` is in Unix seconds."""

    status: DagsterRunStatus
    ended: float | None


@dataclass(frozen=True)
class Orphan:
    """A live workload that nobody waits for."""

    kind: Workload
    body: Body
    why: str
    was_cancelled: bool

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.body['kind'].lower()}/{self.body['metadata']['name']}: {self.why}"


def find_orphans(
    kind: Workload, bodies: Iterable[Body], run_state: Callable[[str], RunState | None], now: float
) -> list[Orphan]:
    """The live workloads of one kind whose last attached run is over.

    A run that Dagster no longer knows (its record was deleted) counts as over; a failed one after a grace time.
    """
    orphans = []
    for body in bodies:
        if kind.terminal_state(body) is not None or "deletionTimestamp" in body["metadata"]:
            continue
        if naming.COMMAND in body["metadata"].get("labels", {}):
            continue
        run_id = body["metadata"].get("annotations", {}).get(naming.RUN, "")
        state = run_state(run_id)
        if state is None:
            orphans.append(Orphan(kind, body, f"Dagster knows no run {run_id or '(none named)'}", False))
        elif state.status is DagsterRunStatus.CANCELED:
            orphans.append(Orphan(kind, body, f"its run {run_id} was cancelled", True))
        elif state.status in _OVER and now - (state.ended or now) > _GRACE_SECONDS:
            orphans.append(Orphan(kind, body, f"its run {run_id} ended ({state.status.value})", False))
    return orphans


def sweep(api: KubeApi, profile: ClusterProfile, instance: DagsterInstance, tell: Callable[[str], None]) -> int:
    """Find the orphans of a profile's namespace; remove those of cancelled runs, and the others where the policy says.

    Returns:
        How many were found.
    """
    kinds = {WORKLOADS["job"], WORKLOADS[profile.workload]}
    selector = f"{naming.MANAGED}={naming.MANAGER}"
    orphans = [
        orphan
        for kind in sorted(kinds, key=lambda each: each.kind)
        for orphan in find_orphans(kind, api.find(kind, selector), lambda run: _run_state(instance, run), time.time())
    ]
    for orphan in orphans:
        removes = orphan.was_cancelled or profile.orphans == "remove"
        if removes:
            metadata = orphan.body["metadata"]
            api.delete(orphan.kind, metadata["name"], metadata["uid"])
        advice = "removed" if removes else f"kubectl -n {profile.namespace} delete it, or run its asset again to attach"
        tell(f"orphan {orphan.words}: {advice}")
    return len(orphans)


def finished_workloads(
    api: KubeApi, profile: ClusterProfile, instance: DagsterInstance, before: float
) -> list[tuple[str, Callable[[], None]]]:
    """Workloads that ended, and whose run ended before a time (Unix seconds): words, and how to remove each."""
    removals: list[tuple[str, Callable[[], None]]] = []
    for kind in sorted({WORKLOADS["job"], WORKLOADS[profile.workload]}, key=lambda each: each.kind):
        for body in api.find(kind, f"{naming.MANAGED}={naming.MANAGER}"):
            metadata = body["metadata"]
            state = _run_state(instance, metadata.get("annotations", {}).get(naming.RUN, ""))
            if kind.terminal_state(body) is None or (state and (state.ended is None or state.ended >= before)):
                continue
            remove = partial(api.delete, kind, metadata["name"], metadata["uid"])
            removals.append((f"{body['kind'].lower()}/{metadata['name']} in {profile.namespace}", remove))
    return removals


def _run_state(instance: DagsterInstance, run_id: str) -> RunState | None:
    record = instance.get_run_record_by_id(run_id) if run_id else None
    return RunState(record.dagster_run.status, record.end_time) if record else None


def orphan_sensor(profile_name: str) -> SensorDefinition:
    """The sensor that sweeps the namespace of a profile every minute."""

    @sensor(
        name="orphan_sweep",
        minimum_interval_seconds=60,
        default_status=DefaultSensorStatus.RUNNING,
        description="Finds Kubernetes Jobs whose run is over; removes those of cancelled runs.",
    )
    def orphan_sweep(context: SensorEvaluationContext) -> SkipReason:
        profile = load_profile(profile_name)
        api = KubeApi(connect(profile.context), profile.namespace, profile.patience.api)
        count = sweep(api, profile, context.instance, context.log.warning)
        return SkipReason(f"{count} orphaned workloads in namespace {profile.namespace}")

    return orphan_sweep
