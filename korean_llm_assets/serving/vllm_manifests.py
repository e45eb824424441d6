"""vLLM on a cluster, as pure functions: a Deployment per version, one address, autoscaling on what a GPU server feels.

<model>-v<version>   Deployment and Service of one version
<model>              HTTPRoute (Gateway API) that divides the traffic of one host over versions
<model>-v<version>   KEDA ScaledObject on vLLM's own queue and cache; or an HPA on CPU, the guide's simple form
"""

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from korean_llm_assets.compute.cluster.job_spec import container_security, pod_security
from korean_llm_assets.compute.cluster.workloads import Body
from korean_llm_assets.compute.profiles import ClusterProfile, NodePool
from korean_llm_assets.serving.model_size import GIB, ModelSize, gibibytes
from korean_llm_assets.serving.rollout import RolloutPolicy
from trainers.contract import BadRequest

PORT = 8000
VERSION = "korean-llm/version"
"""The label that holds a version's number."""
COMPONENT = "app.kubernetes.io/component"
"""The label under which every version of every model is listed: `vllm`."""
_APP = "app.kubernetes.io/name"
_SHORTEST_CANARY_SECONDS = 60
"""Prometheus counts by differences of scrapes (every 15 s in helm-values/kube-prometheus-stack.yaml)."""


class ReplicaSettings(BaseModel):
    """What one replica of a model gets, where its size is not to say it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpus: int | None = Field(
        default=None,
        ge=0,
        description="vLLM's tensor parallel size; a divisor of the heads. 0: on the nodes without GPUs, by an `image` "
        "that has vLLM for CPUs",
    )
    memory: str | None = Field(default=None, description="of the pod, as Kubernetes writes it")
    max_model_len: int | None = Field(default=None, ge=128, description="tokens of a conversation, at most")


class ServingSettings(BaseModel):
    """How models are served; nodes and volumes come from the cluster profile, sizes from the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str = Field(
        default="docker.io/vllm/vllm-openai:v0.32.0",
        description="one whose transformers reads what ours writes (0.32: 5.16.1 to 5.19). Before transformers 5, vLLM "
        "knows no `rope_parameters`, takes another base frequency, and talks nonsense",
    )
    cpu: int = Field(default=8, ge=1)
    max_model_len: int = Field(
        default=8192, ge=128, description="tokens of a conversation, at most; fewer where the model has fewer positions"
    )
    models: dict[str, ReplicaSettings] = Field(
        default={}, description="registered name -> what its replicas get instead of what their size says"
    )
    ready_seconds: int = Field(default=1800, description="loading 72B weights from a shared volume takes long")
    priority_class: str = Field(default="korean-llm-serving", description="above training, which resumes")
    cpu_priority_class: str = Field(
        default="korean-llm-serving-cpu",
        description="of a model with `gpus: 0`: it waits for room, and ends none of the platform's own pods, which are "
        "on those nodes",
    )
    gateway: str = "llm-gateway"
    gateway_namespace: str | None = Field(default=None, description="where the Gateway is; absent: beside the models")
    host: str = Field(default="llm.example.com", description="the host name that clients use; empty: any")
    autoscaler: Literal["keda", "hpa"] = Field(default="keda", description="hpa: by CPU, for a cluster without KEDA")
    min_replicas: int = Field(default=1, ge=0, description="0 scales to zero when nobody asks (KEDA only)")
    max_replicas: int = Field(default=10, ge=1)
    waiting_requests: int = Field(default=4, ge=1, description="requests waiting per replica before another is added")
    cache_share: float = Field(default=0.8, gt=0, le=1, description="KV cache in use before another is added")
    rollout: RolloutPolicy = Field(
        default=RolloutPolicy(),
        description="canary_share, canary_seconds, most_errors. A canary that no request reaches is not promoted: "
        "where there is no traffic yet, canary_seconds: 0 lets the smoke test alone decide. A first deployment (no "
        "champion that is ready) and a rollback have no canary",
    )

    @property
    def asks_prometheus(self) -> bool:
        """True where KEDA's queries or a canary's errors are a Prometheus' to answer."""
        return self.autoscaler == "keda" or self.rollout.canary_seconds > 0

    @model_validator(mode="after")
    def _replicas_fit(self) -> "ServingSettings":
        if self.autoscaler == "hpa" and self.min_replicas == 0:
            raise ValueError("min_replicas: 0 needs autoscaler: keda; an HPA cannot scale to zero")
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas ({self.max_replicas}) is below min_replicas ({self.min_replicas})")
        return self

    @model_validator(mode="after")
    def _canary_can_be_counted(self) -> "ServingSettings":
        if 0 < self.rollout.canary_seconds < _SHORTEST_CANARY_SECONDS:
            raise ValueError(
                f"rollout.canary_seconds ({self.rollout.canary_seconds:g}) is too short for Prometheus to count the "
                f"canary's requests: {_SHORTEST_CANARY_SECONDS} at least, or 0 for no canary"
            )
        return self


@dataclass(frozen=True)
class ServedModel:
    """A version's model: the path of its artifact below the artifact root, and how large it is."""

    path: str
    size: ModelSize


def workload_name(model: str, version: str) -> str:
    """Name of a version's objects: safe for DNS."""
    return f"{model}-v{version}".lower().replace(".", "-").replace("_", "-")


def version_labels(model: str, version: str) -> dict[str, str]:
    """What a version's pods are found by."""
    return {_APP: workload_name(model, version), COMPONENT: "vllm", VERSION: version}


def deployment(
    model: str, version: str, served: ServedModel, settings: ServingSettings, profile: ClusterProfile
) -> Body:
    """vLLM's OpenAI server on a model folder, read-only, as large as the model needs it.

    Raises:
        BadRequest: the profile has no GPUs, and the settings want some.
        DoesNotFit: the model is larger than a node.
    """
    size, own = served.size, settings.models.get(model, ReplicaSettings())
    length = min(own.max_model_len or settings.max_model_len, size.positions)
    place = _place(own, size, length, profile)
    claimed = {"cpu": str(settings.cpu), "memory": own.memory or gibibytes(place.memory), **place.gpus}
    volumes = [volume for volume in profile.volumes if profile.artifacts_path.startswith(volume.mount_path)]
    health = {"httpGet": {"path": "/health", "port": PORT}}
    container: Body = {
        "name": "vllm",
        "image": settings.image,
        "args": [
            *("--model", f"{profile.artifacts_path}/{served.path}/model", "--served-model-name", model),
            *("--port", str(PORT), "--tensor-parallel-size", next(iter(place.gpus.values()), "1")),
            # By itself vLLM rounds float32 to bfloat16, and says other things than evaluation heard.
            *("--max-model-len", str(length), "--dtype", size.dtype),
        ],
        "env": [
            {"name": "HF_HUB_OFFLINE", "value": "1"},
            {"name": "VLLM_NO_USAGE_STATS", "value": "1"},
            {"name": "HOME", "value": "/cache"},
            *place.env,
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {"requests": claimed, "limits": claimed},
        "startupProbe": {**health, "periodSeconds": 10, "failureThreshold": settings.ready_seconds // 10},
        "readinessProbe": {**health, "periodSeconds": 5},
        "livenessProbe": {**health, "periodSeconds": 15, "failureThreshold": 4},
        # New requests stop first, those under way end: the endpoint's removal needs seconds to reach the gateway.
        "lifecycle": {"preStop": {"sleep": {"seconds": 15}}},
        "securityContext": container_security(profile),
        "volumeMounts": [
            *({"name": v.name, "mountPath": v.mount_path, "readOnly": True} for v in volumes),
            {"name": "shm", "mountPath": "/dev/shm"},
            {"name": "cache", "mountPath": "/cache"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    pod: Body = {
        "automountServiceAccountToken": False,
        "priorityClassName": settings.cpu_priority_class if own.gpus == 0 else settings.priority_class,
        "terminationGracePeriodSeconds": 120,
        "nodeSelector": dict(place.pool.selector),
        "tolerations": [dict(toleration) for toleration in place.pool.tolerations],
        "securityContext": pod_security(profile),
        "containers": [container],
        "volumes": [
            *(_volume(volume.name, volume.claim, volume.host_path) for volume in volumes),
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": profile.shared_memory}},
            {"name": "cache", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    metadata = _metadata(model, version, profile)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": max(1, settings.min_replicas),
            "selector": {"matchLabels": {_APP: metadata["name"]}},
            # A surplus pod would need GPUs that are not there.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": metadata["labels"]}, "spec": pod},
        },
    }


@dataclass(frozen=True)
class _Place:
    """Nodes for a replica, the resource of its GPUs, bytes of its memory, and what vLLM must be told there."""

    pool: NodePool
    gpus: dict[str, str]
    memory: int
    env: tuple[dict[str, str], ...] = ()


def _place(own: ReplicaSettings, size: ModelSize, length: int, profile: ClusterProfile) -> _Place:
    if own.gpus == 0:
        # By itself vLLM takes a share of the node's memory for its cache, whatever its pod may have.
        cache = max(1, math.ceil(size.cache(length) / GIB))
        space = {"name": "VLLM_CPU_KVCACHE_SPACE", "value": str(cache)}
        return _Place(profile.cpu_pool, {}, size.host_memory + cache * GIB, (space,))
    if (pool := profile.gpu_pool) is None:
        raise BadRequest(
            f"cluster profile {profile.name!r} has no gpu_pool, and vLLM serves on GPUs; `gpus: 0` among the model's "
            "own serving settings, with an image that has vLLM for CPUs, serves it without"
        )
    gpus = own.gpus or size.gpus(pool.gpu.memory, pool.per_node, length)
    return _Place(pool, {pool.resource: str(gpus)}, size.host_memory)


def service(model: str, version: str, profile: ClusterProfile) -> Body:
    """The version's own address."""
    metadata = _metadata(model, version, profile)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": {_APP: metadata["name"]},
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    }


def route(model: str, shares: dict[str, float], settings: ServingSettings, profile: ClusterProfile) -> Body:
    """The one address, its traffic divided by weights of a thousand."""
    backends = [
        {"name": workload_name(model, version), "port": PORT, "weight": round(1000 * share)}
        for version, share in sorted(shares.items())
    ]
    elsewhere = {"namespace": settings.gateway_namespace} if settings.gateway_namespace else {}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": workload_name(model, "")[:-2], "namespace": profile.namespace},
        "spec": {
            "parentRefs": [{"name": settings.gateway, **elsewhere}],
            **({"hostnames": [settings.host]} if settings.host else {}),  # without: whatever the Gateway listens to
            "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}], "backendRefs": backends}],
        },
    }


def autoscaler(model: str, version: str, settings: ServingSettings, profile: ClusterProfile, prometheus: str) -> Body:
    """What adds and removes replicas of a version, as the settings choose; KEDA asks the Prometheus at an address."""
    if settings.autoscaler == "hpa":
        return simple_autoscaler(model, version, settings, profile)
    return scaled_object(model, version, settings, profile, prometheus)


def scaled_object(
    model: str, version: str, settings: ServingSettings, profile: ClusterProfile, prometheus: str
) -> Body:
    """KEDA: another replica when requests wait or the KV cache fills; GPU utilisation says little about either."""
    metadata = _metadata(model, version, profile)
    pods = f'namespace="{profile.namespace}",pod=~"{metadata["name"]}-.*"'
    queries = [
        (f"sum(vllm:num_requests_waiting{{{pods}}})", settings.waiting_requests, "AverageValue"),
        (f"avg(vllm:kv_cache_usage_perc{{{pods}}})", settings.cache_share, "Value"),
    ]
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"name": metadata["name"]},
            "minReplicaCount": settings.min_replicas,
            "maxReplicaCount": settings.max_replicas,
            "cooldownPeriod": 600,
            "triggers": [
                {
                    "type": "prometheus",
                    "metricType": kind,
                    "metadata": {"serverAddress": prometheus, "query": query, "threshold": str(threshold)},
                }
                for query, threshold, kind in queries
            ],
        },
    }


def simple_autoscaler(model: str, version: str, settings: ServingSettings, profile: ClusterProfile) -> Body:
    """The guide's form, for a cluster without KEDA: an HPA on CPU. Not beside a ScaledObject, which makes its own."""
    metadata = _metadata(model, version, profile)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"]}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": max(1, settings.min_replicas),
            "maxReplicas": settings.max_replicas,
            "metrics": [cpu],
        },
    }


def _metadata(model: str, version: str, profile: ClusterProfile) -> Body:
    return {
        "name": workload_name(model, version),
        "namespace": profile.namespace,
        "labels": version_labels(model, version),
    }


def _volume(name: str, claim: str | None, host_path: str | None) -> Body:
    if claim:
        return {"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return {"name": name, "hostPath": {"path": host_path}}
