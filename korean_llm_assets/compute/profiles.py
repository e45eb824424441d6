"""Cluster profiles: how a stage's needs become nodes, volumes, queues, images and prices on one cluster."""

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from korean_llm_assets.compute.outcome import MAX_ATTEMPTS
from trainers.contract import BadRequest, settings
from trainers.contract.plain_yaml import read_yaml
from trainers.contract.planner import GPUS, Gpu

_PACKAGED = Path(__file__).parent / "cluster_profiles"
_QUANTITY = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text: str) -> float:
    """A Kubernetes quantity ("80Gi", "500m") as a number of bytes or cores."""
    match = re.fullmatch(r"([0-9.]+)(m|[kMGT]i?|Ki|)", text)
    if match is None:
        raise ValueError(f"{text!r} is no Kubernetes quantity (like 80Gi or 500m)")
    number, unit = match.groups()
    return float(number) / 1000 if unit == "m" else float(number) * _QUANTITY[unit]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Volume(_Strict):
    """One volume of the training pods; exactly one source."""

    name: str
    mount_path: str
    claim: str | None = Field(default=None, description="name of a PersistentVolumeClaim")
    host_path: str | None = Field(default=None, description="a folder of the node")
    read_only: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> "Volume":
        if (self.claim is None) == (self.host_path is None):
            raise ValueError(f"volume {self.name!r} needs exactly one of: claim, host_path")
        return self


class NodePool(_Strict):
    """One kind of node."""

    nodes: int = Field(ge=1, description="how many there are")
    cpu: float = Field(gt=0, description="cores of a node that pods can have")
    memory: str = Field(description="memory of a node that pods can have")
    selector: dict[str, str] = Field(default_factory=dict, description="node labels")
    tolerations: tuple[dict[str, str], ...] = ()
    price_per_hour: float = Field(default=0.0, ge=0, description="per GPU in a GPU pool, per core otherwise; USD")

    @field_validator("memory")
    @classmethod
    def _is_quantity(cls, memory: str) -> str:
        quantity(memory)
        return memory


class GpuPool(NodePool):
    """Nodes with GPUs."""

    type: str = Field(description="as in the node label gpu-type, e.g. h100")
    per_node: int = Field(ge=1, description="GPUs of a node")
    gpu_memory: str | None = Field(default=None, description="memory of one GPU; absent: what its type has")
    gpu_tflops: float | None = Field(
        default=None, gt=0, description="dense bfloat16 TFLOP/s of one GPU; absent: what its type has"
    )
    resource: str = "nvidia.com/gpu"

    @model_validator(mode="after")
    def _memory_is_known(self) -> "GpuPool":
        if self.gpu_memory is None and self.type not in GPUS:
            raise ValueError(f"how much memory a {self.type} has is not known ({', '.join(GPUS)} are): add gpu_memory")
        return self

    @property
    def gpu(self) -> Gpu:
        """One GPU of the pool, for the planner."""
        model = GPUS.get(self.type)
        memory = quantity(self.gpu_memory) if self.gpu_memory else model.memory if model else 0.0
        flops = self.gpu_tflops * 1e12 if self.gpu_tflops else model.flops if model else None
        return Gpu(self.type, memory, flops)


class Price(_Strict):
    """US dollars per hour. A stage with GPUs is paid by its GPUs, any other by its cores."""

    gpu: float = 0.0
    core: float = 0.0


class Patience(_Strict):
    """How long a Job may wait, by reason, before the step gives up on it. Seconds."""

    queue: float = Field(default=14 * 86400, description="suspended by Kueue: days are normal")
    unschedulable: float = Field(default=2 * 86400, description="no node has room, or none matches")
    image: float = Field(default=900, description="the image cannot be pulled; a registry's hiccup passes")
    api: float = Field(default=60, description="the API server does not answer while nothing is launched yet")
    outage: float = Field(default=86400, description="the API server does not answer while a Job runs")
    manifest: float = Field(default=30, description="the Job is complete, the shared volume does not show it yet")


class Security(_Strict):
    """The identity of the training pods."""

    user: int = Field(default=1000, ge=0)
    group: int = Field(default=1000, ge=0)
    read_only_root: bool = True


class ClusterProfile(_Strict):
    """One way to run on one cluster. Never holds a secret's value, only the names of Secrets."""

    name: str
    description: str = ""
    launch: Literal["durable", "k8s_job_op"] = Field(
        default="durable", description="durable: re-attached, never doubled; k8s_job_op: dagster-k8s's op body as it is"
    )
    workload: Literal["job", "pytorchjob", "trainjob"] = Field(
        default="job", description="what a stage with GPUs becomes; stages without GPUs are always Jobs"
    )
    training_runtime: str = Field(default="torch-distributed", description="the TrainJob's ClusterTrainingRuntime")
    namespace: str = "llm-training"
    context: str | None = Field(default=None, description="kubeconfig context, where not inside the cluster")
    image: str = Field(description="the trainer image, by digest or by a tag that is never reused")
    allowed_images: tuple[str, ...] = Field(
        default=(), description="how another image that a launch names must begin; empty: any"
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    command: tuple[str, ...] = ("python", "-m", "trainers")
    launcher: tuple[str, ...] = Field(
        default=("python", "-m", "trainers.torchrun", "-m", "trainers"),
        description="replaces `command` where a training stage has more than one GPU",
    )
    node_launcher: tuple[str, ...] = Field(
        default=("python", "-m", "trainers.corpus.nodes"),
        description="replaces `command` where a corpus has several nodes: they become one Ray cluster",
    )
    service_account: str = "korean-llm-trainer"
    artifacts_path: str = Field(description="artifact root; the same path in the run workers and in the training pods")
    landing_path: str = Field(description="landing root; the same path in the run workers and in the training pods")
    volumes: tuple[Volume, ...] = ()
    shared_memory: str = Field(default="1Gi", description="size of /dev/shm; NCCL and data loaders need it")
    node_local_inputs: str | None = Field(
        default=None, description="size of the node's disk to copy inputs to before training; absent: read them shared"
    )
    env: dict[str, str] = Field(default_factory=dict, description="plain settings, never secrets")
    env_secrets: tuple[str, ...] = Field(default=(), description="Secrets whose keys become environment variables")
    security: Security = Security()
    cpu_pool: NodePool
    gpu_pool: GpuPool | None = None
    queue: str | None = Field(default=None, description="Kueue LocalQueue; Jobs are created suspended for it to admit")
    model_queues: dict[str, str] = Field(
        default_factory=dict, description="model -> its own LocalQueue, with its share"
    )
    priority_class: str | None = Field(default=None, description="PriorityClass of the pods, where nodes are given out")
    queue_priority: str | None = Field(
        default=None, description="Kueue WorkloadPriorityClass, where queues admit; absent: as the pods' PriorityClass"
    )
    scheduler: str | None = Field(default=None, description="e.g. the bin-packing profile; absent: the default one")
    ray_address: str | None = Field(
        default=None,
        description="a Ray cluster that exists (ray-head:6379), for the corpus; its token is in env_secrets",
    )
    nccl: dict[str, str] = Field(default_factory=lambda: {"NCCL_DEBUG": "WARN"}, description="NCCL_* for many GPUs")
    max_attempts: int = Field(default=MAX_ATTEMPTS, ge=1)
    poll_seconds: float = Field(default=5.0, gt=0)
    deadline: int = Field(default=7 * 86400, description="activeDeadlineSeconds: running time, not queueing time")
    grace: int = Field(default=600, description="terminationGracePeriodSeconds: long enough to save a checkpoint")
    ttl: int = Field(default=14 * 86400, description="ttlSecondsAfterFinished")
    orphans: Literal["report", "remove"] = Field(default="report", description="what the orphan sweep does")
    patience: Patience = Patience()

    @property
    def price(self) -> Price:
        """What this cluster's nodes cost."""
        return Price(
            gpu=self.gpu_pool.price_per_hour if self.gpu_pool else 0.0,
            core=self.cpu_pool.price_per_hour,
        )

    def queue_of(self, model: str | None) -> str | None:
        """The queue of a model's stages; None where there is no Kueue."""
        return self.model_queues.get(model or "", self.queue) if self.queue else None

    @field_validator("image")
    @classmethod
    def _image_is_pinned(cls, image: str) -> str:
        tag = image.rsplit("/", 1)[-1].partition(":")[2]
        if "@sha256:" not in image and tag in ("", "latest"):
            raise ValueError(f"image {image!r} must name a digest (@sha256:...) or a unique tag, never 'latest'")
        return image

    @model_validator(mode="after")
    def _gpu_workloads_have_gpus(self) -> "ClusterProfile":
        if self.workload != "job" and self.gpu_pool is None:
            raise ValueError(f"workload: {self.workload} is for GPUs, but the profile has no gpu_pool")
        if self.workload != "job" and self.launch != "durable":
            raise ValueError(f"launch: {self.launch} knows only Jobs; workload: {self.workload} needs launch: durable")
        if self.workload == "trainjob" and (self.env_secrets or self.node_local_inputs):
            raise ValueError(
                "a TrainJob takes neither env_secrets nor node_local_inputs: put envFrom and init containers into its "
                "ClusterTrainingRuntime"
            )
        return self


def profile_folders() -> list[Path]:
    """The packaged profiles, and the user's own folder where KOREAN_LLM_PROFILES names one."""
    folder = settings.PROFILES.get()
    return [_PACKAGED, *([folder] if folder else [])]


def profile_paths() -> dict[str, Path]:
    """Every profile's file by name; a user's file replaces a packaged one of the same name."""
    return {path.stem: path for folder in profile_folders() for path in sorted(folder.glob("*.yaml"))}


def _read(path: Path, paths: dict[str, Path]) -> dict[str, Any]:
    data: dict[str, Any] = read_yaml(path.read_text(encoding="utf-8"))
    base = data.pop("extends", None)
    if base is None:
        return data
    if base not in paths or base == path.stem:
        raise BadRequest(f"{path}: key 'extends' names {base!r}; there are: {', '.join(sorted(paths))}")
    return {**_read(paths[base], paths), **data}


def load_profile(name: str) -> ClusterProfile:
    """Read a cluster profile by name. `KOREAN_LLM_TRAINER_IMAGE` replaces its image.

    A profile may begin with `extends: <other>` and then say only what differs, whole keys at a time.

    Raises:
        BadRequest: there is no such profile, or a key of it is wrong; the message names file and key.
    """
    paths = profile_paths()
    if name not in paths:
        raise BadRequest(
            f"unknown cluster profile {name!r}; there are: {', '.join(sorted(paths))} (KOREAN_LLM_PROFILES)"
        )
    path = paths[name]
    try:
        data = _read(path, paths)
        if image := settings.TRAINER_IMAGE.get():
            data["image"] = image
        return ClusterProfile.model_validate({"name": name, **data})
    except (OSError, yaml.YAMLError, TypeError) as error:
        raise BadRequest(f"{path}: cannot be read as a cluster profile: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc'])) or '(profile)'}: {p['msg']}" for p in error.errors())
        raise BadRequest(f"{path}: {problems}. Allowed keys: {', '.join(ClusterProfile.model_fields)}") from error
