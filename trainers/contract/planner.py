"""What a recipe will take on given GPUs, from the model's shape alone: memory, step time, hours; the one memory model.

    python -m trainers plan --recipe qwen2.5-7b --gpu h100 --gpus 4 --tokens 1e9 --price 3

Memory by its parts: `memory.py`; its arithmetic is the plan's.
"""

from dataclasses import dataclass, replace
from typing import Any

from trainers.contract import STAGES, BadRequest, DoesNotFit
from trainers.contract.memory import GIB, Memory, Setting, disk, host_memory, training_memory
from trainers.contract.model_shape import Shape
from trainers.contract.recipe import TrainingSection
from trainers.contract.recipe.loading import ModelRecipe
from trainers.contract.recipe.training import LoraSettings

UTILISATION = 0.40
"""Share of the peak that training reaches, MFU as Chowdhery et al. 2022 (PaLM, section 4.1) define it. Llama 3 reports
0.38 to 0.43 on H100 (Grattafiori et al. 2024, table 4); an assumption until `make gpu-check` has measured ours."""
_FLOAT32 = 0.065
"""Of a GPU's bfloat16 FLOP/s, those without tensor cores (19.5 of 312 TFLOP/s on A100, 67 of 989 on H100)."""
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


def gpu_hours(shape: Shape, setting: Setting, gpu: Gpu, tokens: float) -> float:
    """Hours of one GPU for training on these tokens, and on the text that is replayed beside them.

    Raises:
        BadRequest: nobody said how fast such a GPU is.
    """
    if gpu.flops is None:
        raise BadRequest(
            f"how fast a {gpu.name} is nobody knows here ({', '.join(GPUS)} are known): add gpu_tflops to the "
            "gpu_pool of its cluster profile"
        )
    with_replay = tokens * (1 + setting.replayed)
    speed = gpu.flops * UTILISATION * (_FLOAT32 if setting.float32 else 1.0)
    return with_replay * flops_per_token(shape, setting) / speed / 3600


def flops_per_token(shape: Shape, setting: Setting, recomputing: bool = True) -> float:
    """FLOP per token: forward 2, backward to activations 2, to weights 2 (where they are trained), recomputing 2."""
    passes = (6 if setting.method == "full" else 4) + (2 if recomputing else 0)
    attention = shape.layers * setting.max_length * shape.queries  # half of the square: causal
    return passes * (shape.active_layer_weights + shape.vocabulary * shape.hidden + attention)


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
                    embeddings=setting.embeddings and method != "qlora",  # over 4 bit they stay frozen
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
            "host_gib": _gib(host_memory(shape, setting, planned.memory.sharded)),
            "disk_gib": _gib(disk(shape, setting, planned.memory.sharded)),
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


def _gib(parts: dict[str, float]) -> dict[str, float]:
    return {name: round(size / GIB, 1) for name, size in parts.items() if size}


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
            f"  host memory in GiB: {_listed(stage['host_gib'])}; disk: {_listed(stage['disk_gib'])}",
            f"  {stage['step_seconds']} s a step, {stage['hours']:,} h{money}",
        ]
    return "\n".join([*lines, f"Assumed: {UTILISATION:.0%} of the GPU's peak; `make gpu-check` measures it."])


def _listed(sizes: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', '-')} {size:,}" for name, size in sizes.items())
