"""From (request, needs, profile) to the complete Kubernetes Job: pure functions, no cluster is asked."""

from collections.abc import Mapping

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
_RENDEZVOUS_PORT = 29500
_LAST_SECONDS = 10
"""Of the grace period, kept for torchrun's own end."""
_STAGED = "staged"
_FINAL_CODES = [int(code) for code in ExitCode if code.is_final]


def render_job(
    request: StageRequest,
    needs: Needs,
    profile: ClusterProfile,
    run_id: str,
    attempt: int = 1,
    messages_env: Mapping[str, str] | None = None,
    part: str = "",
) -> Body:
    """The attempt's Job, as it is sent to the API server.

    Dagster-k8s's public constructor gives its labels; everything that decides the pod comes from the profile and
    replaces whole keys (a shallow merge), because a deep one leaves two node selectors that no node matches.

    Args:
        messages_env: the pipes variables of the run that launches it.
        part: naming.SLICES for the Indexed Job whose pods each do a slice of the stage; empty for the stage itself.
    """
    name = naming.job_name(request, attempt, part)
    own_labels = naming.labels(request, run_id, attempt, part)
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
    body["metadata"]["labels"].update({naming.MANAGED: naming.MANAGER, **queue_labels(profile, request)})
    body["metadata"] |= {"namespace": profile.namespace, "annotations": job_annotations(request, run_id)}
    body["spec"] = {
        "template": template,
        "backoffLimit": 0,
        "podFailurePolicy": _failure_policy(),
        "activeDeadlineSeconds": profile.deadline,
        "ttlSecondsAfterFinished": profile.ttl,
        "suspend": profile.queue is not None,
        **_spread(request, needs, template, name, part),
    }
    return body


def render_service(request: StageRequest, needs: Needs, profile: ClusterProfile, owner: Body) -> Body | None:
    """The headless Service through which the pods of a multi-node Job find the first one; gone with its Job."""
    if needs.nodes == 1 or not needs.gpus or owner["kind"] != "Job":
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


def queue_labels(profile: ClusterProfile, request: StageRequest) -> dict[str, str]:
    """Labels that make Kueue admit the workload."""
    queue = profile.queue_of(request.model)
    return {QUEUE_LABEL: queue} if queue else {}


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
    """The stage's command line; a training stage with more than one GPU starts one process per GPU."""
    return [
        *(profile.launcher if _is_distributed(request, needs) else profile.command),
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
    pool = profile.gpu_pool if needs.gpus and profile.gpu_pool else profile.cpu_pool
    staging = _staged_inputs(request, needs, profile)
    spec: Body = {
        "restartPolicy": "Never",
        "serviceAccountName": profile.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": profile.grace,
        "securityContext": {
            "runAsUser": profile.security.user,
            "runAsGroup": profile.security.group,
            "fsGroup": profile.security.group,
            "fsGroupChangePolicy": "OnRootMismatch",
            "runAsNonRoot": profile.security.user != 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": dict(pool.selector),
        "tolerations": [dict(toleration) for toleration in pool.tolerations],
        "volumes": [*_volumes(profile), *staging.get("volumes", [])],
        "containers": [_container(request, needs, profile, messages_env, staging.get("mounts", []))],
    }
    if staging:
        spec["initContainers"] = [staging["init"]]
    if profile.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in profile.image_pull_secrets]
    if profile.priority_class:
        spec["priorityClassName"] = profile.priority_class
    if profile.scheduler:
        spec["schedulerName"] = profile.scheduler
    return spec


def container_security(profile: ClusterProfile) -> Body:
    """What every container of a training pod may not do."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": profile.security.read_only_root,
        "capabilities": {"drop": ["ALL"]},
    }


def _container(
    request: StageRequest,
    needs: Needs,
    profile: ClusterProfile,
    messages_env: Mapping[str, str],
    staged: list[Body],
) -> Body:
    amounts = {"cpu": f"{needs.cpu:g}", "memory": needs.memory}
    if needs.gpus and profile.gpu_pool:
        amounts[profile.gpu_pool.resource] = str(needs.gpus // needs.nodes)
    return {
        "name": CONTAINER,
        "image": profile.image,
        "imagePullPolicy": profile.image_pull_policy,
        "command": command_of(request, needs, profile),
        "env": _env(request, needs, profile, messages_env),
        "envFrom": [{"secretRef": {"name": name}} for name in profile.env_secrets],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "volumeMounts": [*_mounts(profile), *staged],
        "securityContext": container_security(profile),
        # The trainer's last line is its reason; a Job that failed an hour ago can still say why.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


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


def _env(request: StageRequest, needs: Needs, profile: ClusterProfile, messages_env: Mapping[str, str]) -> list[Body]:
    values = {
        "HOME": "/tmp",  # the pod's own emptyDir: the root filesystem is read-only
        # What trackers keep offline (TensorBoard, W&B) outlives the pod; the root filesystem is read-only.
        settings.HOME.name: f"{profile.artifacts_path}/.home",
        settings.IMAGE.name: profile.image,
        settings.METRICS_PORT.name: str(METRICS_PORT),
        **(_torchrun_env(needs, profile) if _is_distributed(request, needs) else {}),
        **profile.env,
        **messages_env,
    }
    if not needs.gpus:
        values.setdefault("OMP_NUM_THREADS", f"{max(1, round(needs.cpu)):d}")
    return [{"name": name, "value": value} for name, value in values.items()]


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


def _failure_policy() -> Body:
    return {
        "rules": [
            # Eviction and preemption cost no attempt: the Job controller starts the pod again.
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {
                "action": "FailJob",
                "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": _FINAL_CODES},
            },
        ]
    }


def _spread(request: StageRequest, needs: Needs, template: Body, name: str, part: str) -> Body:
    """What an Indexed Job over several nodes adds; torchrun reads its settings from PET_*."""
    if needs.nodes == 1:
        return {}
    indexed = {"completionMode": "Indexed", "completions": needs.nodes, "parallelism": needs.nodes}
    if part:  # the index comes from JOB_COMPLETION_INDEX, which every pod of an Indexed Job has
        template["spec"]["containers"][0]["command"] += ["--of", str(needs.nodes)]
        return indexed
    template["spec"]["subdomain"] = name
    template["spec"]["affinity"] = {"podAntiAffinity": _apart(request)}
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
