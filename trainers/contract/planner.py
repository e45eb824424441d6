"""What a recipe will take on given GPUs, from the model's shape alone: memory, step time, hours; the one memory model.

    python -m trainers plan --recipe qwen2.5-7b --gpu h100 --gpus 4 --tokens 1e9 --price 3

The arithmetic (bytes per weight; Rajbhandari et al. 2020, section 3; Korthikanti et al. 2022, section 4):

    full     16: float32 weights, gradients and two moments of AdamW, computed in bfloat16
    lora      2: frozen bfloat16 weights; 16 per adapter weight
    qlora  0.55: frozen 4-bit weights with their scales; 16 per adapter weight

Activations are checkpointed: one hidden state per layer, and one layer's working set while it is computed again.
"""

from dataclasses import dataclass, replace
from typing import Any

from trainers.contract import STAGES, BadRequest, DoesNotFit
from trainers.contract.model_shape import Shape
from trainers.contract.recipe import RlhfSection, TrainingSection
from trainers.contract.recipe.loading import ModelRecipe
from trainers.contract.recipe.training import LoraSettings

GIB = 2**30
_BYTES_PER_WEIGHT = {"full": 16.0, "lora": 2.0, "qlora": 0.55}
_BYTES_PER_ADAPTER_WEIGHT = 16.0
_RESERVED = 3 * GIB
"""CUDA context, communication buffers and cuBLAS' workspace."""
_FRAGMENTATION = 1.05
_LOSS_CHUNK = 256  # tokens whose logits exist at once in SFT's and CPT's loss
UTILISATION = 0.40
"""Share of the peak that training reaches, MFU as Chowdhery et al. 2022 (PaLM, section 4.1) define it. Llama 3 reports
0.38 to 0.43 on H100 (Grattafiori et al. 2024, table 4); an assumption until `make gpu-check` has measured ours."""
_DEFAULT_TOKENS = 1e9


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU: memory in bytes, dense bfloat16 FLOP/s (None: not known)."""

    name: str
    memory: float
    flops: float | None


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("a100", 80e9, 312e12),
        Gpu("h100", 80e9, 989e12),
        Gpu("h200", 141e9, 989e12),
        Gpu("b200", 180e9, 2250e12),
    )
}
"""By their makers' data sheets. What they cost is a cluster profile's to say."""


@dataclass(frozen=True)
class Setting:
    """How one stage is trained; what a proposal changes."""

    method: str
    rank: int
    batch_size: int
    accumulation: int
    max_length: int
    gpus: int
    pairs: bool = False

    @classmethod
    def of(cls, section: TrainingSection, gpus: int) -> "Setting":
        """The setting of a recipe's section."""
        rank = section.lora.rank if section.lora else 0
        pairs = isinstance(section, RlhfSection)
        return cls(section.method, rank, section.batch_size, section.accumulation, section.max_length, gpus, pairs)

    @property
    def row_tokens(self) -> int:
        """Tokens of one micro-batch on one GPU (a preference pair is two rows)."""
        return self.batch_size * self.max_length * (2 if self.pairs else 1)

    def __str__(self) -> str:
        lora = f" rank {self.rank}" if self.rank else ""
        return (
            f"{self.method}{lora}, batch_size {self.batch_size} x accumulation {self.accumulation}, "
            f"max_length {self.max_length}, {self.gpus} GPU{'s' if self.gpus > 1 else ''}"
        )


@dataclass(frozen=True)
class Memory:
    """What each GPU holds, in bytes, by what it is for."""

    parts: dict[str, float]
    limit: float
    sharded: bool = False

    @property
    def total(self) -> float:
        """Bytes on each GPU."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """True where it fits."""
        return self.total <= self.limit

    @property
    def arithmetic(self) -> str:
        """The memory of one GPU, as a sum."""
        parts = " + ".join(f"{name} {size / GIB:,.1f}" for name, size in self.parts.items())
        return f"{parts} = {self.total / GIB:,.1f} GiB of {self.limit / GIB:,.1f} GiB"


@dataclass(frozen=True)
class Plan:
    """One stage on one set of GPUs."""

    setting: Setting
    memory: Memory
    step_seconds: float
    hours: float


def plan(shape: Shape, setting: Setting, gpu: Gpu, tokens: float) -> Plan:
    """Predict one stage."""
    step_tokens = setting.row_tokens * setting.accumulation
    seconds = gpu_hours(shape, setting, gpu, step_tokens) * 3600
    hours = gpu_hours(shape, setting, gpu, tokens) / setting.gpus
    return Plan(setting, training_memory(shape, setting, gpu.memory), seconds, hours)


def training_memory(shape: Shape, setting: Setting, limit: float) -> Memory:
    """What training holds. Weights are sharded over the GPUs (FSDP) only where a copy on each does not fit.

    Args:
        limit: bytes of one GPU.
    """
    whole = _training_memory(shape, setting, limit, sharded=False)
    return whole if whole.fits or setting.gpus == 1 else _training_memory(shape, setting, limit, sharded=True)


def _training_memory(shape: Shape, setting: Setting, limit: float, sharded: bool) -> Memory:
    over = setting.gpus if sharded else 1
    adapters = shape.adapter_weights(setting.rank)
    row = setting.row_tokens
    kept = shape.layers * row * shape.hidden * 2
    working = row * (8 * shape.hidden + 4 * shape.intermediate) * 2
    logits = (row if setting.pairs else _LOSS_CHUNK) * shape.vocabulary * 4 * 2
    parts = {
        "weights and optimizer": shape.weights * _BYTES_PER_WEIGHT[setting.method] / over,
        "adapters": adapters * _BYTES_PER_ADAPTER_WEIGHT / over,
        "activations": float(kept + working),
        "logits": float(logits),
        "reserved": float(_RESERVED),
    }
    if sharded:  # a whole layer is gathered to be computed, and the next one ahead of it
        parts["gathered layers"] = 2 * shape.layer_weights / shape.layers * 2.0
    parts = {name: size * (1 if name == "reserved" else _FRAGMENTATION) for name, size in parts.items() if size}
    return Memory(parts, limit, sharded)


def loaded_memory(shape: Shape, gpus: int, limit: float) -> Memory:
    """What a model holds that is only read, its bfloat16 weights shared out over the GPUs; the least, without rows."""
    weights = shape.weights * 2.0 * _FRAGMENTATION / gpus
    return Memory({"weights": weights, "reserved": float(_RESERVED)}, limit, gpus > 1)


def gpu_hours(shape: Shape, setting: Setting, gpu: Gpu, tokens: float) -> float:
    """Hours of one GPU for training on these tokens.

    Raises:
        BadRequest: nobody said how fast such a GPU is.
    """
    if gpu.flops is None:
        raise BadRequest(
            f"how fast a {gpu.name} is nobody knows here ({', '.join(GPUS)} are known): add gpu_tflops to the "
            "gpu_pool of its cluster profile"
        )
    return tokens * flops_per_token(shape, setting) / (gpu.flops * UTILISATION) / 3600


def flops_per_token(shape: Shape, setting: Setting, recomputing: bool = True) -> float:
    """FLOP per token: forward 2, backward to activations 2, to weights 2 (where they are trained), recomputing 2."""
    passes = (6 if setting.method == "full" else 4) + (2 if recomputing else 0)
    attention = shape.layers * setting.max_length * shape.hidden  # half of the square: causal
    return passes * (shape.layer_weights + shape.vocabulary * shape.hidden + attention)


def proposal(shape: Shape, setting: Setting, limit: float) -> tuple[Setting, Memory] | None:
    """The first setting that fits: smaller micro-batches, then lighter methods, then more GPUs; None if none does."""
    methods = ("full", "lora", "qlora")
    for gpus in (setting.gpus * 2**power for power in range(6)):
        for method in methods[methods.index(setting.method) :]:
            rank = 0 if method == "full" else setting.rank or LoraSettings().rank
            halvings = [2**power for power in range(8) if setting.batch_size % 2**power == 0]
            for parts in halvings:
                tried = replace(
                    setting,
                    gpus=gpus,
                    method=method,
                    rank=rank,
                    batch_size=setting.batch_size // parts,
                    accumulation=setting.accumulation * parts,
                )
                memory = training_memory(shape, tried, limit)
                if memory.fits:
                    return tried, memory
    return None


def refusal(stage: str, shape: Shape, setting: Setting, limit: float) -> str | None:
    """Why a stage cannot train so, with the arithmetic and a setting that can; None where it can."""
    memory = training_memory(shape, setting, limit)
    if memory.fits:
        return None
    better = proposal(shape, setting, limit)
    advice = f"This fits: {better[0]}: {better[1].arithmetic}" if better else "No setting fits on this GPU"
    return f"{stage} ({setting}) does not fit: {memory.arithmetic}. {advice}"


def training_sections(recipe: ModelRecipe) -> dict[str, TrainingSection]:
    """What a recipe says of each stage that trains."""
    return {name: getattr(recipe, name) for name, stage in STAGES.items() if stage.trains}


def recipe_gpu_hours(recipe: ModelRecipe, stage: str, gpu: Gpu) -> float:
    """Hours of one GPU of a stage that trains, on as many as the recipe asks for.

    Raises:
        DoesNotFit: it cannot train there; the message has the arithmetic, and a setting that can.
        BadRequest: the model's shape or the GPU's speed is not known.
    """
    shape, section = Shape.of(recipe), training_sections(recipe)[stage]
    setting = Setting.of(section, section.needs.gpus)
    if problem := refusal(stage, shape, setting, gpu.memory):
        raise DoesNotFit(f"{recipe.model} on {gpu.name}: {problem}")
    return gpu_hours(shape, setting, gpu, _planned_tokens(section, setting))


def plan_recipe(
    recipe: ModelRecipe, gpu_name: str, gpus: int, tokens: float | None = None, price: float | None = None
) -> dict[str, Any]:
    """The plan of each training stage of a recipe, as plain values.

    Args:
        price: US dollars per GPU and hour; without it nothing is said of money.

    Raises:
        BadRequest: an unknown GPU.
        DoesNotFit: a stage cannot run there; the message has the arithmetic, and a setting that can.
    """
    if gpu_name not in GPUS:
        raise BadRequest(f"unknown GPU {gpu_name!r}; there are: {', '.join(GPUS)}")
    gpu, shape = GPUS[gpu_name], Shape.of(recipe)
    stages: dict[str, Any] = {}
    failures: list[str] = []
    for name, section in training_sections(recipe).items():
        setting = Setting.of(section, gpus)
        planned = plan(shape, setting, gpu, tokens or _planned_tokens(section, setting))
        stages[name] = {
            "setting": str(setting),
            "sharded": planned.memory.sharded,
            "memory_gib": round(planned.memory.total / GIB, 1),
            "memory": planned.memory.arithmetic,
            "step_seconds": round(planned.step_seconds, 2),
            "hours": round(planned.hours, 1),
            **({} if price is None else {"dollars": round(planned.hours * gpus * price)}),
            "fits": planned.memory.fits,
        }
        if problem := refusal(name, shape, setting, gpu.memory):
            failures.append(problem)
    if failures:
        raise DoesNotFit(f"{shape.weights / 1e9:.1f} billion weights on {gpus} x {gpu_name}: " + "\n".join(failures))
    return {"model": recipe.model, "weights": shape.weights, "gpu": gpu_name, "gpus": gpus, "stages": stages}


def _planned_tokens(section: TrainingSection, setting: Setting) -> float:
    if section.max_steps is None:
        return _DEFAULT_TOKENS
    return section.max_steps * setting.row_tokens * setting.accumulation * setting.gpus


def table(planned: dict[str, Any]) -> str:
    """A plan for people."""
    lines = [
        f"{planned['model']}: {planned['weights'] / 1e9:.2f} billion weights on {planned['gpus']} x {planned['gpu']}"
    ]
    for name, stage in planned["stages"].items():
        shared = ", weights sharded over the GPUs (FSDP)" if stage["sharded"] else ""
        money = f", {stage['dollars']:,} US dollars" if "dollars" in stage else ""
        lines += [
            f"{name}: {stage['setting']}{shared}",
            f"  memory on each GPU: {stage['memory']}",
            f"  {stage['step_seconds']} s a step, {stage['hours']:,} h{money}",
        ]
    return "\n".join([*lines, f"Assumed: {UTILISATION:.0%} of the GPU's peak; `make gpu-check` measures it."])
