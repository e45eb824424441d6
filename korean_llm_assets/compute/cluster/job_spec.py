"""From (request, needs, profile) to the complete Kubernetes Job: pure functions, no cluster is asked."""

import math
from collections.abc import Mapping, Sequence

from dagster_k8s import DagsterK8sJobConfig, construct_dagster_k8s_job
from kubernetes.client import ApiClient, Configuration

from korean_llm_assets.compute.cluster import naming
from korean_llm_assets.compute.cluster.workloads import Body
from korean_llm_assets.compute.profiles import ClusterProfile
from trainers.contract import STAGES, ExitCode, Needs, StageRequest, settings
from trainers.contract.artifacts import ArtifactStore

CONTAINER = "trainer"
METRICS_PORT = 9108
"""Where the trainer shows its metrics to Prometheus."""
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_QUEUE_PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"
_RENDEZVOUS_PORT = 29500
_LAST_SECONDS = 10
"""Of the grace period, kept for torchrun's own end."""
_STAGED = "staged"
_HEAD = "{head}"
"""In a command: the host name of the first pod, which its Job's name gives."""
_TOKEN = "nodes.token"
"""What authenticates those pods, beside the request; the first one makes it."""
_REJOINS = 3
"""How often a lost pod other than the first may come back, each for itself."""
_FINAL_CODES = [int(code) for code in ExitCode if code.is_final]


def render_job(
    request: StageRequest,
    needs: Needs,
    profile: ClusterProfile,
    run_id: str,
    attempt: int = 1,
    messages_env: Mapping[str, str] | None = None,
) -> Body:
    """The attempt's Job, as it is sent to the API server.

    Dagster-k8s's public constructor gives its labels; everything that decides the pod comes from the profile and
    replaces whole keys (a shallow merge), because a deep one leaves two node selectors that no node matches.

    Args:
        messages_env: the pipes variables of the run that launches it.
    """
    name = naming.job_name(request, attempt)
    own_labels = naming.labels(request, run_id, attempt)
    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(job_image=profile.image, dagster_home=None, service_account_name=profile.service_account),
        args=None,
        job_name=name,
        pod_name=name,
        component="stage",
        labels=own_labels,
    )
    body: Body = ApiClient(Configuration()).sanitize_for_serialization(job)
    template = body["spec"]["template"]
    template["metadata"] = {
        "labels": {**template["metadata"]["labels"], naming.MANAGED: naming.MANAGER},
        "annotations": pod_annotations(request),
    }
    template["spec"] = pod_spec(request, needs, profile, messages_env or {})
    body["metadata"]["labels"].update({naming.MANAGED: naming.MANAGER, **queue_labels(profile, request.model)})
    body["metadata"] |= {"namespace": profile.namespace, "annotations": job_annotations(request, run_id)}
    body["spec"] = {
        "template": template,
        "backoffLimit": 0,
        "podFailurePolicy": _failure_policy(_FINAL_CODES),
        "activeDeadlineSeconds": profile.deadline,
        "ttlSecondsAfterFinished": profile.ttl,
        "suspend": profile.queue is not None,
        **_spread(request, needs, profile, template, name),
    }
    return body


def render_service(request: StageRequest, needs: Needs, profile: ClusterProfile, owner: Body) -> Body | None:
    """The headless Service through which the pods of a multi-node Job find the first one; gone with its Job."""
    if not _is_indexed(request, needs, profile) or owner["kind"] != "Job":
        return None
    metadata = owner["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": metadata["name"],
            "namespace": profile.namespace,
            "labels": {naming.MANAGED: naming.MANAGER, naming.REQUEST: request.digest[:32]},
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
            ],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"batch.kubernetes.io/job-name": metadata["name"]},
            "ports": [{"name": "rendezvous", "port": _RENDEZVOUS_PORT}],
        },
    }


def queue_labels(profile: ClusterProfile, model: str | None) -> dict[str, str]:
    """Labels that make Kueue admit a workload of this model, or of none."""
    queue = profile.queue_of(model)
    if queue is None:
        return {}
    return {QUEUE_LABEL: queue, **({_QUEUE_PRIORITY_LABEL: profile.queue_priority} if profile.queue_priority else {})}


def pod_annotations(request: StageRequest) -> dict[str, str]:
    """Annotations of the training pods."""
    return {
        naming.DIGEST: request.digest,
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(METRICS_PORT),
        "prometheus.io/path": "/metrics",
    }


def job_annotations(request: StageRequest, run_id: str) -> dict[str, str]:
    """Annotations of the workload: whose it is, and for which run."""
    return {naming.DIGEST: request.digest, naming.RUN: run_id, f"{naming.DOMAIN}/partition": request.partition}


def command_of(request: StageRequest, needs: Needs, profile: ClusterProfile) -> list[str]:
    """The stage's command line, behind what starts a process per GPU, or makes the pods the nodes of one cluster."""
    return [
        *_program(request, needs, profile),
        request.stage,
        "--request",
        str(ArtifactStore(profile.artifacts_path).beside(request).request),
        "--artifacts",
        profile.artifacts_path,
        "--landing",
        profile.landing_path,
    ]


def pod_spec(request: StageRequest, needs: Needs, profile: ClusterProfile, messages_env: Mapping[str, str]) -> Body:
    """The training pod."""
    staging = _staged_inputs(request, needs, profile)
    env = _env(request, needs, profile, messages_env)
    command = command_of(request, needs, profile)
    spec = plain_pod(needs, profile, command, env, staging.get("mounts", []), staging.get("volumes", []))
    return {**spec, "initContainers": [staging["init"]]} if staging else spec


def plain_pod(
    needs: Needs,
    profile: ClusterProfile,
    command: list[str],
    env: Mapping[str, str],
    mounts: Sequence[Body] = (),
    volumes: Sequence[Body] = (),
) -> Body:
    """A pod of the profile that runs one command; what is mounted beside the profile's own volumes comes after them."""
    pool = profile.gpu_pool if needs.gpus and profile.gpu_pool else profile.cpu_pool
    spec: Body = {
        "restartPolicy": "Never",
        "serviceAccountName": profile.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": profile.grace,
        "securityContext": pod_security(profile),
        "nodeSelector": dict(pool.selector),
        "tolerations": [dict(toleration) for toleration in pool.tolerations],
        "volumes": [*_volumes(profile), *volumes],
        "containers": [_container(needs, profile, command, env, mounts)],
    }
    if profile.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in profile.image_pull_secrets]
    if profile.priority_class:
        spec["priorityClassName"] = profile.priority_class
    if profile.scheduler:
        spec["schedulerName"] = profile.scheduler
    return spec


def pod_security(profile: ClusterProfile) -> Body:
    """Who a pod is. With `container_security`, what the standard `restricted` asks for."""
    return {
        "runAsUser": profile.security.user,
        "runAsGroup": profile.security.group,
        "fsGroup": profile.security.group,
        "fsGroupChangePolicy": "OnRootMismatch",
        "runAsNonRoot": profile.security.user != 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security(profile: ClusterProfile) -> Body:
    """What every container of a training pod may not do."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": profile.security.read_only_root,
        "capabilities": {"drop": ["ALL"]},
    }


def _container(
    needs: Needs, profile: ClusterProfile, command: list[str], env: Mapping[str, str], mounts: Sequence[Body]
) -> Body:
    amounts = {"cpu": f"{needs.cpu:g}", "memory": needs.memory}
    if needs.gpus and profile.gpu_pool:
        amounts[profile.gpu_pool.resource] = str(needs.gpus // needs.nodes)
    return {
        "name": CONTAINER,
        "image": profile.image,
        "imagePullPolicy": profile.image_pull_policy,
        "command": command,
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "envFrom": [{"secretRef": {"name": name}} for name in profile.env_secrets],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "volumeMounts": [*_mounts(profile), *mounts],
        "securityContext": container_security(profile),
        # The trainer's last line is its reason; a Job that failed an hour ago can still say why.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _program(request: StageRequest, needs: Needs, profile: ClusterProfile) -> list[str]:
    if _is_distributed(request, needs):
        return list(profile.launcher)
    if not _gives_out_tasks(request, needs, profile):
        return list(profile.command)
    token = ArtifactStore(profile.artifacts_path).beside(request).request.with_name(_TOKEN)
    options = {"--head": _HEAD, "--cpu": math.ceil(needs.cpu), "--memory": needs.memory_bytes, "--token": token}
    return [*profile.node_launcher, *(str(part) for pair in options.items() for part in pair)]


def _gives_out_tasks(request: StageRequest, needs: Needs, profile: ClusterProfile) -> bool:
    """Whether the pods are the nodes of a Ray of their own; where the profile names one, a pod is enough."""
    return STAGES[request.stage].spread == "tasks" and needs.nodes > 1 and profile.ray_address is None


def _is_indexed(request: StageRequest, needs: Needs, profile: ClusterProfile) -> bool:
    return needs.nodes > 1 and (needs.gpus > 0 or _gives_out_tasks(request, needs, profile))


def _is_distributed(request: StageRequest, needs: Needs) -> bool:
    return needs.gpus > 1 and STAGES[request.stage].spread == "processes"


def _torchrun_env(needs: Needs, profile: ClusterProfile) -> dict[str, str]:
    """For processes that torchrun starts; its own patience with those that save after SIGTERM is 30 s."""
    patience = max(1, profile.grace - _LAST_SECONDS)
    return {
        **profile.nccl,
        "PET_NPROC_PER_NODE": str(needs.gpus // needs.nodes),
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(patience),
    }


def _env(
    request: StageRequest, needs: Needs, profile: ClusterProfile, messages_env: Mapping[str, str]
) -> dict[str, str]:
    values = {
        **plain_env(profile),
        **(_torchrun_env(needs, profile) if _is_distributed(request, needs) else {}),
        **({"RAY_ADDRESS": profile.ray_address} if profile.ray_address else {}),
        **profile.env,
        **messages_env,
    }
    if not needs.gpus:
        values.setdefault("OMP_NUM_THREADS", f"{max(1, round(needs.cpu)):d}")
    return values


def plain_env(profile: ClusterProfile) -> dict[str, str]:
    """The variables of every pod of ours, before the profile's own."""
    return {
        "HOME": "/tmp",  # the pod's own emptyDir: the root filesystem is read-only
        # What trackers keep offline (TensorBoard, W&B) outlives the pod; the root filesystem is read-only.
        settings.HOME.name: f"{profile.artifacts_path}/.home",
        settings.IMAGE.name: profile.image,
        settings.METRICS_PORT.name: str(METRICS_PORT),
    }


def _volumes(profile: ClusterProfile) -> list[Body]:
    sources: list[Body] = []
    for volume in profile.volumes:
        if volume.claim:
            source: Body = {"persistentVolumeClaim": {"claimName": volume.claim}}
        else:
            source = {"hostPath": {"path": volume.host_path}}
        sources.append({"name": volume.name, **source})
    memory = {"medium": "Memory", "sizeLimit": profile.shared_memory}
    return [*sources, {"name": "shm", "emptyDir": memory}, {"name": "tmp", "emptyDir": {}}]


def _mounts(profile: ClusterProfile) -> list[Body]:
    mounts: list[Body] = [
        {"name": volume.name, "mountPath": volume.mount_path, **({"readOnly": True} if volume.read_only else {})}
        for volume in profile.volumes
    ]
    return [*mounts, {"name": "shm", "mountPath": "/dev/shm"}, {"name": "tmp", "mountPath": "/tmp"}]


def _staged_inputs(request: StageRequest, needs: Needs, profile: ClusterProfile) -> Body:
    """Inputs copied to the node's disk first, and mounted over their own path: one NFS server starves eight GPUs.

    The stage verifies their digests as always; what it writes goes to the shared volume as always.
    """
    inputs = [item for item in request.inputs if item.root == "artifacts"]
    if not (profile.node_local_inputs and needs.gpus and inputs):
        return {}
    copies = "\n".join(f"cp -a '{profile.artifacts_path}/{item.path}' '/{_STAGED}/{item.name}'" for item in inputs)
    return {
        "volumes": [{"name": _STAGED, "emptyDir": {"sizeLimit": profile.node_local_inputs}}],
        "mounts": [
            {
                "name": _STAGED,
                "mountPath": f"{profile.artifacts_path}/{item.path}",
                "subPath": item.name,
                "readOnly": True,
            }
            for item in inputs
        ],
        "init": {
            "name": "stage-inputs",
            "image": profile.image,
            "imagePullPolicy": profile.image_pull_policy,
            "command": ["sh", "-euc", copies],
            "resources": {side: {"cpu": "1", "memory": "1Gi"} for side in ("requests", "limits")},
            "volumeMounts": [*_mounts(profile), {"name": _STAGED, "mountPath": f"/{_STAGED}"}],
            "securityContext": container_security(profile),
        },
    }


def _failure_policy(ending: Sequence[int]) -> Body:
    """What a pod's end means for its Job; `ending`: exit codes that no other pod can mend."""
    return {
        "rules": [
            # Eviction and preemption cost no attempt: the Job controller starts the pod again.
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {
                "action": "FailJob",
                "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": list(ending)},
            },
        ]
    }


def _spread(request: StageRequest, needs: Needs, profile: ClusterProfile, template: Body, name: str) -> Body:
    """What an Indexed Job over several nodes adds."""
    if not _is_indexed(request, needs, profile):
        return {}
    template["spec"]["subdomain"] = name
    template["spec"]["affinity"] = {"podAntiAffinity": _apart(request)}
    indexed = {"completionMode": "Indexed", "completions": needs.nodes, "parallelism": needs.nodes}
    if _gives_out_tasks(request, needs, profile):
        container = template["spec"]["containers"][0]
        container["command"] = [f"{name}-0.{name}" if part == _HEAD else part for part in container["command"]]
        return {
            **indexed,
            # The first pod is the stage: its end is the Job's. Another that is lost comes back as its index and joins.
            "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
            "podFailurePolicy": _failure_policy([int(code) for code in ExitCode if code]),
            "backoffLimit": _REJOINS * needs.nodes,
            "backoffLimitPerIndex": _REJOINS,
            "maxFailedIndexes": 0,
        }
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    template["spec"]["containers"][0]["env"] += [
        {"name": "PET_NNODES", "value": str(needs.nodes)},
        {"name": "PET_NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": index}}},
        {"name": "PET_MASTER_ADDR", "value": f"{name}-0.{name}"},
        {"name": "PET_MASTER_PORT", "value": str(_RENDEZVOUS_PORT)},
    ]
    return indexed


def _apart(request: StageRequest) -> Body:
    # A wish: two pods of eight GPUs are apart anyway, and a queue that admits by numbers knows nothing of a must.
    term = {
        "labelSelector": {"matchLabels": {naming.REQUEST: request.digest[:32]}},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}
