"""Is everything there that a Job needs? Asked before a Job is created, so that no GPU waits for a missing Secret."""

from dataclasses import dataclass

from korean_llm_assets.compute.cluster.kube_api import Forbidden, KubeApi
from korean_llm_assets.compute.cluster.kubeflow import workload_of
from korean_llm_assets.compute.profiles import ClusterProfile
from trainers.contract import Needs, ServiceMissing


@dataclass(frozen=True)
class Permission:
    """One thing that the run workers' service account must be allowed to do in the training namespace."""

    verb: str
    resource: str
    group: str = ""


_OBJECTS = (Permission("get", "persistentvolumeclaims"), Permission("get", "serviceaccounts"))
"""What this check itself looks at; of Secrets, a Role names the ones that may be asked for."""
_WATCHING = (Permission("list", "pods"), Permission("get", "pods/log"), Permission("list", "events"))
_WORKLOAD_VERBS = {"durable": ("get", "list", "create", "patch", "delete"), "k8s_job_op": ("list", "create")}
_OF_LAUNCH = {"durable": (), "k8s_job_op": (Permission("get", "jobs/status", "batch"),)}
"""What a launch mode asks beside the verbs on its workloads: dagster-k8s's op body reads the Job's status by itself."""
_QUEUE = (Permission("list", "workloads", "kueue.x-k8s.io"), Permission("get", "localqueues", "kueue.x-k8s.io"))
_SERVICE = Permission("create", "services")
"""Only for stages over several nodes."""


def required_permissions(profile: ClusterProfile, needs: Needs) -> list[Permission]:
    """All that a launch with these needs will ask of the API server, by the profile's launch mode."""
    kind = workload_of(needs, profile)
    return [
        *_OBJECTS,
        *_WATCHING,
        *(Permission(verb, kind.plural, kind.group) for verb in _WORKLOAD_VERBS[profile.launch]),
        *_OF_LAUNCH[profile.launch],
        *(_QUEUE if profile.queue else ()),
        *([_SERVICE] if needs.nodes > 1 else []),
    ]


def check_cluster(api: KubeApi, profile: ClusterProfile, needs: Needs) -> None:
    """Ask the cluster for permissions, claims, Secrets and the service account.

    Raises:
        Forbidden: a permission is missing; the message names each verb.
        ServiceMissing: an object is missing, or the API server does not answer.
    """
    missing_permissions = [p for p in required_permissions(profile, needs) if not api.may(p.verb, p.group, p.resource)]
    if missing_permissions:
        what = ", ".join(f"{p.verb} {p.resource}" + (f".{p.group}" if p.group else "") for p in missing_permissions)
        raise Forbidden(
            f"RBAC does not allow the run worker's service account in namespace {api.namespace!r}: {what}. "
            "Upgrade the chart (dagster_deploy/chart/templates/rbac.yaml). Nothing was launched."
        )
    required = [
        *(("persistentvolumeclaims", volume.claim) for volume in profile.volumes if volume.claim),
        *(("secrets", name) for name in (*profile.env_secrets, *profile.image_pull_secrets)),
        ("serviceaccounts", profile.service_account),
    ]
    missing = [f"{what[:-1]} {name!r}" for what, name in required if not api.has(what, name)]
    if missing:
        raise ServiceMissing(
            f"namespace {api.namespace!r} has no {', no '.join(missing)}, which profile {profile.name!r} names. "
            "Create it (dagster_deploy/README.md). Nothing was launched."
        )
