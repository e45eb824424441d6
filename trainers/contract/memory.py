"""What a training holds, by what it is for: memory of each GPU, memory of its host, disk; from the model's shape alone.

Bytes per weight (Rajbhandari et al. 2020, section 3): what learns is float32 with a float32 gradient and the
optimizer's state beside it; what is frozen is as wide as the precision says, or 4-bit with its scales (0.55) where it
is a layer's matrix. Computed is in bfloat16, where the section does not say float32. Activations are checkpointed
(Korthikanti et al. 2022, section 4): one hidden state per layer, and one layer's working set while it is computed
again. `tests/trainers/contract/test_memory.py` holds each part against torch's own memory tracking.
"""

from dataclasses import dataclass

from trainers.contract.model_shape import Shape
from trainers.contract.recipe import RlhfSection, TrainingSection

GIB = 2**30
_STATE = {"adamw": 8.0, "adamw_8bit": 2.0, "paged_adamw_8bit": 2.0, "muon": 4.0}
"""Bytes of the optimizer's state for each weight that learns (muon: of a matrix; AdamW's, of the embeddings)."""
_RESERVED = 3 * GIB
"""CUDA context, communication buffers and cuBLAS' workspace."""
_FRAGMENTATION = 1.05
_FOUR_BIT = 0.55
_LOSS_CHUNK = 256
"""Tokens whose logits exist at once in the loss of SFT and CPT, and of what is replayed there; pairs, and what is
replayed beside them, have whole rows of them."""
_BYTES_PER_LOGIT = 16.0
"""The head's output, float32, its log-softmax and their gradients."""
_LAYER_IN_FLOAT32 = 1.85
"""Times what autocast saves of a layer, of which some is float32 already."""
_LAST = 3.6
"""Of the hidden states behind the last layer, in widths of the stream: normed, and cut for the loss."""
_BYTES_PER_SCORE = 12.0
"""Of attention without a kernel: scores, softmax in float32, and their gradients."""
_PROCESS = 2 * GIB
"""Of the host, for Python, its libraries and CUDA's, in each process."""
_SHARD = 50e9
"""Of published weights, which go through the host file by file (transformers' max_shard_size)."""
_CHECKPOINTS = 3
"""Two that are kept, and one that is being written."""


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
    embeddings: bool = False
    """Whole embeddings learn beside adapters."""
    replay_rows: int = 0
    optimizer: str = "adamw"
    attention: str = "sdpa"
    float32: bool = False
    """Computed so, and frozen weights are as wide."""
    context_parallel: int = 1
    """GPUs that share each row."""
    packed: bool = False
    """Several pieces lie in a row: without a kernel for that, attention has a mask of all against all."""
    keeps_best: bool = False

    @classmethod
    def of(cls, section: TrainingSection, gpus: int) -> "Setting":
        """The setting of a recipe's section."""
        rank = section.lora.rank if section.lora else 0
        replay = getattr(section, "replay", None)  # cpt has none
        return cls(
            section.method,
            rank,
            section.batch_size,
            section.accumulation,
            section.max_length,
            gpus,
            pairs=isinstance(section, RlhfSection),
            embeddings=section.method != "full" and section.embedding_learning_rate is not None,
            replay_rows=replay.rows if replay else 0,
            optimizer=section.optimizer,
            attention=section.attention,
            float32=section.precision == "float32",
            context_parallel=section.context_parallel,
            packed=getattr(section, "layout", "packed") == "packed",  # rlhf's pairs are laid end to end
            keeps_best=section.keep == "best",
        )

    @property
    def row_tokens(self) -> int:
        """Tokens of one micro-batch on one GPU (a preference pair is two rows)."""
        return self.batch_size * self.max_length * (2 if self.pairs else 1) // self.context_parallel

    @property
    def logit_tokens(self) -> int:
        """Tokens whose logits exist at once."""
        replayed = min(self.replay_rows, self.batch_size) * self.max_length
        return max(self.row_tokens, replayed) if self.pairs else _LOSS_CHUNK

    @property
    def replayed(self) -> float:
        """Tokens of replayed text for each one of the stage's own."""
        return self.replay_rows * self.max_length / (self.row_tokens * self.accumulation)

    @property
    def frozen_bytes(self) -> float:
        """Of a weight that does not learn."""
        return 4.0 if self.float32 else 2.0

    @property
    def training(self) -> str:
        """In words, wherever it runs."""
        lora = f" rank {self.rank}" if self.rank else ""
        lora += " and embeddings" if self.embeddings else ""
        shared = f" over {self.context_parallel} GPUs" if self.context_parallel > 1 else ""
        return (
            f"{self.method}{lora}, batch_size {self.batch_size} x accumulation {self.accumulation}, "
            f"max_length {self.max_length}{shared}{', float32' if self.float32 else ''}"
        )

    def __str__(self) -> str:
        return f"{self.training}, {self.gpus} GPU{'s' if self.gpus > 1 else ''}"


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


def training_memory(shape: Shape, setting: Setting, limit: float) -> Memory:
    """What training holds. Weights are sharded over the GPUs (FSDP) only where a copy on each does not fit, and where
    GPUs share rows.

    Args:
        limit: bytes of one GPU.
    """
    whole = _training_memory(shape, setting, limit, sharded=False)
    held_whole = setting.context_parallel == 1 and whole.fits
    return whole if held_whole or setting.gpus == 1 else _training_memory(shape, setting, limit, sharded=True)


def _training_memory(shape: Shape, setting: Setting, limit: float, sharded: bool) -> Memory:
    over = setting.gpus if sharded else 1
    parts = {
        name: size / (over if name in ("weights", "gradients", "optimizer") else 1)
        for name, size in held_parts(shape, setting, sharded).items()
    }
    if sharded:  # a whole layer is gathered to be computed, and the next one ahead of it
        parts["gathered layers"] = 2 * shape.layer_weights / shape.layers * 2.0
    parts = {name: size * _FRAGMENTATION for name, size in parts.items() if size}
    return Memory({**parts, "reserved": float(_RESERVED)}, limit, sharded)


def held_parts(shape: Shape, setting: Setting, sharded: bool = False) -> dict[str, float]:
    """Bytes of a training on one GPU by what they are for, before anything is shared out.

    `working` is what comes and goes: the layer that is computed again, or the logits with what the head needs; the
    larger one, for they are not there at the same time. The widths, in bytes a token, are those of the tensors that a
    layer in the form of Llama saves under autocast: two norms, rotated queries and keys, repeated keys and values,
    the feed-forward part, and beside them what adapters save of their inputs.
    """
    learning = learning_weights(shape, setting)
    embeddings_learn = setting.embeddings or setting.method == "full"
    frozen = {"full": 0.0, "lora": setting.frozen_bytes * shape.weights}.get(setting.method)
    if frozen is None:  # peft makes what bitsandbytes leaves, the embeddings, float32 (prepare_model_for_kbit_training)
        frozen = _FOUR_BIT * shape.layer_weights + 4.0 * shape.embedding_weights
    tokens, hidden, queries = setting.row_tokens, shape.hidden, shape.queries
    inner = shape.intermediate * shape.active_experts
    # Between the layers numbers are as wide as the embeddings, from which they come; FSDP gathers those in bfloat16.
    stream = tokens * hidden * (4.0 if setting.float32 or (embeddings_learn and not sharded) else 2.0)
    layer = tokens * (16.0 * hidden + 12 * queries + 8 * shape.kv + 12 * inner)
    if setting.float32:  # nothing is held in two widths: neither adapters' inputs, nor matrices
        layer *= _LAYER_IN_FLOAT32
    elif setting.rank:
        layer += tokens * (10.0 * hidden + 2 * queries + 2 * inner)
    elif not sharded:  # autocast's copies of the layer's matrices
        layer += 2.0 * shape.layer_weights / shape.layers
    logits = _BYTES_PER_LOGIT * setting.logit_tokens * shape.vocabulary
    if embeddings_learn:
        # A copy of the head in bfloat16 and its gradient until now, beside the logits; once these are gone, beside the
        # gradient of the newest piece, in bfloat16 and in float32.
        head = float(shape.vocabulary * hidden)
        logits = max(logits + 6 * head, 12 * head)
    return {
        "weights": 4.0 * learning + frozen,
        "gradients": 4.0 * learning,
        "optimizer": _state(shape, setting, learning) if not setting.optimizer.startswith("paged") else 0.0,
        "activations": shape.layers * stream,
        "working": max(layer, logits + _LAST * stream),
        "attention": _attention(shape, setting),
    }


def _attention(shape: Shape, setting: Setting) -> float:
    """Bytes of what a kernel on one GPU without a square would not hold: masks of packed rows (sdpa: of bits, and as
    numbers), one layer's scores of all heads, or what goes around a ring of GPUs."""
    if setting.context_parallel > 1:  # keys and values, received and sent
        return 2 * setting.row_tokens * 2 * shape.kv * setting.frozen_bytes
    square = float(setting.row_tokens * setting.max_length)
    if setting.attention == "eager":
        return _BYTES_PER_SCORE * shape.heads * square
    return 3 * square if setting.attention == "sdpa" and setting.packed else 0.0


def learning_weights(shape: Shape, setting: Setting) -> int:
    """How many weights learn."""
    if setting.method == "full":
        return shape.weights
    return shape.adapter_weights(setting.rank) + (shape.embedding_weights if setting.embeddings else 0)


def _state(shape: Shape, setting: Setting, learning: int) -> float:
    """Bytes of the optimizer's state."""
    embeddings = shape.embedding_weights if setting.optimizer == "muon" else 0
    return _STATE[setting.optimizer] * (learning - embeddings) + _STATE["adamw"] * embeddings


def loaded_memory(shape: Shape, gpus: int, limit: float) -> Memory:
    """What a model holds that is only read, its bfloat16 weights shared out over the GPUs; the least, without rows."""
    weights = shape.weights * 2.0 * _FRAGMENTATION / gpus
    return Memory({"weights": weights, "reserved": float(_RESERVED)}, limit, gpus > 1)


def host_memory(shape: Shape, setting: Setting, sharded: bool) -> dict[str, float]:
    """Bytes of one node that holds all the GPUs, by phase (`peak_host_bytes_*` of a manifest).

    Every process loads the model on the host first: where it is to be float32, each has a copy; else all read the same
    pages of its file. One process publishes: what is sharded and learns is gathered in it, as are, one after the other,
    weights and the optimizer's state where it saves.
    """
    learning, processes = learning_weights(shape, setting), setting.gpus * float(_PROCESS)
    loaded = {"full": 4.0 * setting.gpus, "lora": setting.frozen_bytes, "qlora": 0.0}[setting.method] * shape.weights
    paged = _state(shape, setting, learning) if setting.optimizer.startswith("paged") else 0.0
    gathered = 4.0 * learning if sharded else 0.0
    saved = max(gathered, _state(shape, setting, learning)) if sharded else 0.0
    return {
        "set_up": processes + loaded,
        "training": processes + paged + saved,
        "publishing": _PROCESS + gathered + min(2.0 * shape.weights, _SHARD),
    }


def disk(shape: Shape, setting: Setting, sharded: bool) -> dict[str, float]:
    """Bytes on the volume of the artifacts while the stage runs, by what they are for."""
    learning = learning_weights(shape, setting)
    checkpoints = _CHECKPOINTS + setting.keeps_best
    return {
        "checkpoints": checkpoints * (4.0 * learning + _state(shape, setting, learning)),
        "gathered": 4.0 * learning if sharded or setting.method == "qlora" else 0.0,
        "published": 2.0 * shape.weights + (4.0 * shape.adapter_weights(setting.rank) if setting.rank else 0.0),
    }
