"""What a recipe will take on given GPUs, from the model's shape alone: memory, step time, hours, money.

    python -m trainers plan --recipe qwen2.5-7b --gpu h100 --gpus 4 --tokens 1e9

The arithmetic (bytes per weight; Rajbhandari et al. 2020, section 3; Korthikanti et al. 2022, section 4):

    full     16: float32 weights, gradients and two moments of AdamW, computed in bfloat16
    lora      2: frozen bfloat16 weights; 16 per adapter weight
    qlora  0.55: frozen 4-bit weights with their scales; 16 per adapter weight

Activations are checkpointed: one hidden state per layer, and one layer's working set while it is computed again.
"""

from dataclasses import dataclass, replace
from typing import Any

from trainers.contract import STAGES, BadRequest, DoesNotFit
from trainers.contract.recipe import BaseSection, RlhfSection, TrainingSection
from trainers.contract.recipe.loading import ModelRecipe

GIB = 2**30
_BYTES_PER_WEIGHT = {"full": 16.0, "lora": 2.0, "qlora": 0.55}
_BYTES_PER_ADAPTER_WEIGHT = 16.0
_RESERVED = 3 * GIB
"""CUDA context, communication buffers and cuBLAS' workspace."""
_FRAGMENTATION = 1.05
_LOSS_CHUNK = 256  # tokens whose logits exist at once in SFT's and CPT's loss
_MFU = 0.40
"""Share of the peak that training reaches: an assumption until `make gpu-check` has measured it."""
_DEFAULT_TOKENS = 1e9


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU: memory in bytes, dense bfloat16 FLOP/s, assumed price per hour in US dollars."""

    name: str
    memory: float
    flops: float
    price: float


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("a100", 80e9, 312e12, 1.8),
        Gpu("h100", 80e9, 989e12, 3.0),
        Gpu("h200", 141e9, 989e12, 3.8),
        Gpu("b200", 180e9, 2250e12, 6.0),
    )
}


@dataclass(frozen=True)
class Shape:
    """What the arithmetic needs to know of a model."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, recipe: ModelRecipe) -> "Shape":
        """A recipe's model.

        Raises:
            BadRequest: the recipe does not say the model's shape.
        """
        base = recipe.section(BaseSection)
        if base.architecture is not None and base.vocabulary is not None:
            built = base.architecture
            return cls(
                built.hidden_size,
                built.layers,
                built.heads,
                built.kv_heads,
                built.intermediate_size,
                base.vocabulary,
                True,
            )
        if base.shape is None:
            raise BadRequest(f"recipe {recipe.model!r} does not say its model's shape; add base_model's key 'shape'")
        return cls(**base.shape.model_dump())

    @classmethod
    def of_config(cls, config: dict[str, Any]) -> "Shape":
        """The model of a `config.json`."""
        return cls(
            config["hidden_size"],
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config["num_key_value_heads"],
            config["intermediate_size"],
            config["vocab_size"],
            config.get("tie_word_embeddings", False),
        )

    @property
    def matrices(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of one layer's linear maps."""
        kv = self.hidden // self.heads * self.kv_heads
        attention = [(self.hidden, self.hidden), (self.hidden, kv), (self.hidden, kv), (self.hidden, self.hidden)]
        return [*attention, *[(self.hidden, self.intermediate)] * 2, (self.intermediate, self.hidden)]

    @property
    def layer_weights(self) -> int:
        """Weights of all layers."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.matrices)

    @property
    def weights(self) -> int:
        """All weights (norms and biases are left out: less than 0.1%)."""
        return self.layer_weights + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def adapter_weights(self, rank: int) -> int:
        """Weights of adapters on every linear map."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.matrices)


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
class Plan:
    """One stage on one set of GPUs."""

    setting: Setting
    sharded: bool
    parts: dict[str, float]  # bytes on each GPU, by what they are for
    limit: float
    step_seconds: float
    hours: float
    dollars: float

    @property
    def memory(self) -> float:
        """Bytes on each GPU."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """True where it fits."""
        return self.memory <= self.limit

    @property
    def arithmetic(self) -> str:
        """The memory of one GPU, as a sum."""
        parts = " + ".join(f"{name} {size / GIB:,.1f}" for name, size in self.parts.items())
        return f"{parts} = {self.memory / GIB:,.1f} GiB of {self.limit / GIB:,.1f} GiB"


def plan(shape: Shape, setting: Setting, gpu: Gpu, tokens: float) -> Plan:
    """Predict one stage. Weights are sharded over the GPUs (FSDP) only where a copy on each does not fit."""
    whole = _plan(shape, setting, gpu, tokens, sharded=False)
    return whole if whole.fits or setting.gpus == 1 else _plan(shape, setting, gpu, tokens, sharded=True)


def _plan(shape: Shape, setting: Setting, gpu: Gpu, tokens: float, sharded: bool) -> Plan:
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
    step_tokens = row * setting.accumulation
    seconds = step_tokens * flops_per_token(shape, setting) / (gpu.flops * _MFU)
    hours = gpu_hours(shape, setting, gpu, tokens) / setting.gpus
    return Plan(setting, sharded, parts, gpu.memory, seconds, hours, hours * setting.gpus * gpu.price)


def gpu_hours(shape: Shape, setting: Setting, gpu: Gpu, tokens: float) -> float:
    """Hours of one GPU for training on these tokens."""
    return tokens * flops_per_token(shape, setting) / (gpu.flops * _MFU) / 3600


def flops_per_token(shape: Shape, setting: Setting, recomputing: bool = True) -> float:
    """FLOP per token: forward 2, backward to activations 2, to weights 2 (where they are trained), recomputing 2."""
    passes = (6 if setting.method == "full" else 4) + (2 if recomputing else 0)
    attention = shape.layers * setting.max_length * shape.hidden  # half of the square: causal
    return passes * (shape.layer_weights + shape.vocabulary * shape.hidden + attention)


def proposal(shape: Shape, setting: Setting, gpu: Gpu, tokens: float) -> Plan | None:
    """The first setting that fits: smaller micro-batches, then lighter methods, then more GPUs; None if none does."""
    methods = ("full", "lora", "qlora")
    for gpus in (setting.gpus * 2**power for power in range(6)):
        for method in methods[methods.index(setting.method) :]:
            rank = 0 if method == "full" else setting.rank or 16
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
                found = plan(shape, tried, gpu, tokens)
                if found.fits:
                    return found
    return None


def training_sections(recipe: ModelRecipe) -> dict[str, TrainingSection]:
    """What a recipe says of each stage that trains."""
    return {name: getattr(recipe, name) for name, stage in STAGES.items() if stage.trains}


def plan_recipe(
    recipe: ModelRecipe, gpu_name: str, gpus: int, tokens: float | None = None, price: float | None = None
) -> dict[str, Any]:
    """The plan of each training stage of a recipe, as plain values.

    Raises:
        BadRequest: an unknown GPU.
        DoesNotFit: a stage cannot run there; the message has the arithmetic, and a setting that can.
    """
    if gpu_name not in GPUS:
        raise BadRequest(f"unknown GPU {gpu_name!r}; there are: {', '.join(GPUS)}")
    gpu = GPUS[gpu_name] if price is None else replace(GPUS[gpu_name], price=price)
    shape = Shape.of(recipe)
    stages: dict[str, Any] = {}
    failures = []
    for name, section in training_sections(recipe).items():
        setting = Setting.of(section, gpus)
        found = plan(shape, setting, gpu, tokens or _planned_tokens(section, setting))
        stages[name] = {
            "setting": str(setting),
            "sharded": found.sharded,
            "memory_gib": round(found.memory / GIB, 1),
            "memory": found.arithmetic,
            "step_seconds": round(found.step_seconds, 2),
            "hours": round(found.hours, 1),
            "dollars": round(found.dollars),
            "fits": found.fits,
        }
        if not found.fits:
            better = proposal(shape, setting, gpu, tokens or _planned_tokens(section, setting))
            advice = f"This fits: {better.setting}: {better.arithmetic}" if better else "No setting fits on this GPU"
            failures.append(f"{name} ({setting}) does not fit: {found.arithmetic}. {advice}")
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
        lines += [
            f"{name}: {stage['setting']}{shared}",
            f"  memory on each GPU: {stage['memory']}",
            f"  {stage['step_seconds']} s a step, {stage['hours']:,} h, {stage['dollars']:,} US dollars",
        ]
    return "\n".join([*lines, f"Assumed: {_MFU:.0%} of the GPU's peak; `make gpu-check` measures it."])
