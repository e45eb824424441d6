"""GPU stages as Kubeflow objects: the guide's PyTorchJob, and Trainer v2's TrainJob."""

from collections.abc import Mapping

from korean_llm_assets.compute.cluster import naming
from korean_llm_assets.compute.cluster.job_spec import (
    job_annotations,
    pod_annotations,
    pod_spec,
    queue_labels,
    render_job,
)
from korean_llm_assets.compute.cluster.workloads import JOB, PYTORCHJOB, WORKLOADS, Body, Workload
from korean_llm_assets.compute.profiles import ClusterProfile
from trainers.contract import Needs, StageRequest

_PATCHABLE = (
    "nodeSelector",
    "tolerations",
    "volumes",
    "serviceAccountName",
    "imagePullSecrets",
    "terminationGracePeriodSeconds",
    "securityContext",
)
"""What a TrainJob lets one say of its runtime's pods; the rest is the ClusterTrainingRuntime's."""


def workload_of(needs: Needs, profile: ClusterProfile) -> Workload:
    """What a stage with these needs becomes: only stages with GPUs follow the profile's `workload`."""
    return WORKLOADS[profile.workload] if needs.gpus else JOB


def render(
    request: StageRequest,
    needs: Needs,
    profile: ClusterProfile,
    run_id: str,
    attempt: int = 1,
    messages_env: Mapping[str, str] | None = None,
) -> Body:
    """The attempt's workload of the kind that the profile asks for."""
    kind = workload_of(needs, profile)
    if kind is JOB:
        return render_job(request, needs, profile, run_id, attempt, messages_env)
    spec = pod_spec(request, needs, profile, messages_env or {})
    metadata = {
        "name": naming.job_name(request, attempt),
        "namespace": profile.namespace,
        "labels": {**naming.labels(request, run_id, attempt), **queue_labels(profile, request.model)},
        "annotations": job_annotations(request, run_id),
    }
    if kind is PYTORCHJOB:
        body = _pytorchjob(needs, profile, metadata, spec, request)
    else:
        body = _trainjob(needs, profile, metadata, spec)
    return {"apiVersion": f"{kind.group}/{kind.version}", "kind": kind.kind, "metadata": metadata, "spec": body}


def _pytorchjob(needs: Needs, profile: ClusterProfile, metadata: Body, spec: Body, request: StageRequest) -> Body:
    spec = {key: value for key, value in spec.items() if key != "restartPolicy"}
    # The operator finds its container by this name, sets the rendezvous variables there, and restarts nothing itself:
    # a new attempt is a new numbered object.
    spec["containers"] = [{**spec["containers"][0], "name": "pytorch"}, *spec["containers"][1:]]
    template = {
        "metadata": {"labels": dict(metadata["labels"]), "annotations": pod_annotations(request)},
        "spec": spec,
    }
    replicas: Body = {"Master": {"replicas": 1, "restartPolicy": "Never", "template": template}}
    if needs.nodes > 1:
        replicas["Worker"] = {"replicas": needs.nodes - 1, "restartPolicy": "Never", "template": template}
    return {
        "nprocPerNode": str(needs.gpus // needs.nodes),
        "runPolicy": {
            "backoffLimit": 0,
            "cleanPodPolicy": "None",
            "activeDeadlineSeconds": profile.deadline,
            "ttlSecondsAfterFinished": profile.ttl,
            "suspend": profile.queue is not None,
        },
        "pytorchReplicaSpecs": replicas,
    }


def _trainjob(needs: Needs, profile: ClusterProfile, metadata: Body, spec: Body) -> Body:
    container = spec["containers"][0]
    pod = {key: spec[key] for key in _PATCHABLE if spec.get(key)}
    pod["containers"] = [{"name": "node", **{key: container[key] for key in ("volumeMounts", "securityContext")}}]
    template = {"metadata": {"labels": dict(metadata["labels"])}, "spec": pod}
    patched_job = {"name": "node", "template": {"spec": {"template": template}}}
    return {
        "runtimeRef": {"name": profile.training_runtime},
        "suspend": profile.queue is not None,
        "activeDeadlineSeconds": profile.deadline,
        "trainer": {
            "image": container["image"],
            "command": container["command"],
            "env": container["env"],
            "numNodes": needs.nodes,
            "numProcPerNode": needs.gpus // needs.nodes,
            "resourcesPerNode": container["resources"],
        },
        "runtimePatches": [
            {
                "manager": f"{naming.DOMAIN}.io/launcher",
                "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [patched_job]}}},
            }
        ],
    }
