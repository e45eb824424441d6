"""Recipe sections of the base model and the training stages."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from trainers.contract.recipe.section import Section, Strict


class Architecture(Strict):
    """Shape of a model that is built from nothing (Qwen3 family)."""

    hidden_size: int = Field(default=256, ge=16, description="width of a layer; a multiple of heads")
    layers: int = Field(default=6, ge=1, description="blocks, one after the other")
    heads: int = Field(default=4, ge=1, description="attention heads; a multiple of kv_heads")
    kv_heads: int = Field(default=2, ge=1, description="heads of keys and values (grouped-query attention)")
    intermediate_size: int = Field(default=768, ge=16, description="width of the feed-forward part")
    max_length: int = Field(default=512, ge=64, description="positions, in tokens")

    @model_validator(mode="after")
    def _heads_divide(self) -> "Architecture":
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} must be a multiple of kv_heads {self.kv_heads}")
        return self


class ModelShape(Strict):
    """Shape of a model that is fetched: what the planner reckons with, and what the fetched config must say."""

    hidden: int = Field(ge=16, description="width of a layer (hidden_size of its config)")
    layers: int = Field(ge=1, description="blocks (num_hidden_layers)")
    heads: int = Field(ge=1, description="attention heads (num_attention_heads)")
    kv_heads: int = Field(ge=1, description="heads of keys and values (num_key_value_heads)")
    head_dim: int | None = Field(default=None, ge=1, description="width of a head; absent: hidden / heads")
    intermediate: int = Field(ge=16, description="width of the feed-forward part (intermediate_size)")
    vocabulary: int = Field(ge=300, description="rows of the embedding (vocab_size)")
    tied: bool = Field(default=False, description="input and output embeddings are one matrix")
    experts: int = Field(default=1, ge=1, description="feed-forward parts of a layer, each `intermediate` wide")
    active_experts: int = Field(default=1, ge=1, description="of them, those that a token goes through")


TEMPLATES = ("chatml", "exaone4", "gemma", "llama3", "mistral", "phi", "plain", "qwen2.5", "qwen3")
"""The packaged chat templates."""
OWN_TEMPLATE = "own"
_TEMPLATE_FILE = ".jinja"


class BaseSection(Section):
    """Where the base model comes from: built here, a folder, or a hub at a pinned revision."""

    source: Literal["built", "folder", "hub"] = Field(
        description="built: here, from nothing (architecture, vocabulary); folder: a model folder; hub: a pinned repo"
    )
    architecture: Architecture | None = Field(default=None, description="shape of the model (built)")
    vocabulary: int | None = Field(default=None, ge=300, description="tokens of the tokenizer that is trained (built)")
    folder: str | None = Field(
        default=None,
        description="a model folder or a .gguf file, by its path, the same where Dagster and the stage run; its "
        "content is part of the request (folder)",
    )
    adapter: str | None = Field(
        default=None, description="a folder with an adapter of that model, which is merged into it first (folder, hub)"
    )
    repo: str | None = Field(default=None, description="its name on the hub, e.g. Qwen/Qwen2.5-7B (hub)")
    revision: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{40}$", description="a commit of it, never a branch (hub)"
    )
    shape: ModelShape | None = Field(default=None, description="for the planner; checked against the fetched config")
    yarn: float | None = Field(
        default=None,
        gt=1,
        description="this many times the positions that the model was trained on (YaRN, Peng et al. 2024), for all "
        "stages and for serving; train with rows that long",
    )
    template: str = Field(
        default="chatml",
        description="the family's way of writing a chat: chatml, exaone4, gemma, llama3, mistral, phi, plain, qwen2.5 "
        "or qwen3; own: the model's, as it is; or a file of your own, ending in .jinja, whose content is part of the "
        "request. Without {% generation %} marks in it, the assistant's turns are told by the control tokens around "
        "them",
    )

    @field_validator("template")
    @classmethod
    def _is_a_template(cls, template: str) -> str:
        if template not in (*TEMPLATES, OWN_TEMPLATE) and not template.endswith(_TEMPLATE_FILE):
            raise ValueError(f"must be one of {', '.join(TEMPLATES)}, own, or a file that ends in {_TEMPLATE_FILE}")
        return template

    @model_validator(mode="after")
    def _source_is_complete(self) -> "BaseSection":
        required = {"built": ("architecture", "vocabulary"), "folder": ("folder",), "hub": ("repo", "revision")}
        for source, keys in required.items():
            for key in keys:
                is_set = getattr(self, key) is not None
                if source == self.source and not is_set:
                    raise ValueError(f"source: {self.source} needs the key {key!r}")
                if source != self.source and is_set and key not in required[self.source]:
                    raise ValueError(f"key {key!r} belongs to source: {source}, and would be ignored here")
        if self.adapter is not None and self.source == "built":
            raise ValueError("key 'adapter' belongs to source: folder or hub, and would be ignored here")
        return self

    @property
    def local_files(self) -> dict[str, Path]:
        """See Section."""
        file = self.template if self.template.endswith(_TEMPLATE_FILE) else None
        named = {"folder": self.folder, "adapter": self.adapter, "template": file}
        return {key: Path(path) for key, path in named.items() if path is not None}


class LoraSettings(Strict):
    """Low-rank adapters (Hu et al. 2021)."""

    rank: int = Field(default=16, ge=1, description="columns of each adapter: what it can learn, and its size")
    alpha: float = Field(default=32, gt=0, description="an adapter counts alpha / rank times")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of an adapter's input left out at random")
    targets: Literal["all-linear"] | tuple[str, ...] = Field(
        default="all-linear", description="modules that get an adapter, by name: q_proj, v_proj, ..."
    )
    dora: bool = Field(default=False, description="magnitudes apart from directions (Liu et al. 2024)")
    rslora: bool = Field(
        default=False,
        description="an adapter counts alpha / sqrt(rank) times, so that ranks above 64 learn too (Kalajdzievski 2023)",
    )
    initial: Literal["zero", "pissa"] = Field(
        default="zero",
        description="what adapters are before they learn: nothing, or the strongest directions of the weights (PiSSA, "
        "Meng et al. 2024; cpt, sft and orpo)",
    )
    plus_ratio: float | None = Field(
        default=None, ge=1, description="LoRA+: the B matrices learn this many times faster (Hayou et al. 2024 use 16)"
    )


class ReplaySettings(Strict):
    """Pre-training text beside what a later stage learns, against forgetting (Ouyang et al. 2022: PPO-ptx)."""

    rows: int = Field(default=1, ge=1, description="rows of the corpus, of max_length tokens, beside each step")
    weight: float = Field(default=1.0, gt=0, description="of their loss (mean of their tokens) beside the stage's own")


class TrainingSection(Section):
    """What every training stage sets."""

    backend: Literal["auto", "unsloth", "transformers"] = Field(
        default="auto",
        description="auto: unsloth where `needs` asks for one GPU and it can do what the section says, else "
        "transformers; the request names it",
    )
    method: Literal["full", "lora", "qlora"] = Field(
        default="lora", description="qlora: adapters over a frozen 4-bit base (Dettmers et al. 2023); needs a GPU"
    )
    lora: LoraSettings | None = Field(default=None, description="the adapters; lora and qlora need it, full has none")
    learning_rate: float = Field(gt=0, description="of AdamW, after warmup")
    embedding_learning_rate: float | None = Field(
        default=None, gt=0, description="trains input and output embeddings too, at this rate (for a new language)"
    )
    schedule: Literal["cosine", "linear", "constant_with_warmup", "wsd"] = Field(
        default="cosine", description="how the rate changes after warmup; wsd: warmup, stable, decay"
    )
    warmup_share: float = Field(default=0.05, ge=0, lt=1, description="share of the steps in which the rate rises")
    decay_share: float | None = Field(
        default=None, gt=0, lt=1, description="wsd only: the last part of the steps, in which the rate falls"
    )
    final_rate_share: float = Field(
        default=0.0, ge=0, lt=1, description="cosine and wsd only: where the rate ends, as a share of learning_rate"
    )
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "muon"] = Field(
        default="adamw",
        description="8 bit: its state takes a quarter of the memory (Dettmers et al. 2022); paged: host memory takes "
        "what the GPU cannot hold; both need bitsandbytes and a GPU; muon: orthogonal updates of the layers' matrices "
        "(Jordan et al. 2024), at AdamW's rates, with method: full",
    )
    max_grad_norm: float = Field(default=1.0, ge=0, description="gradients are scaled down to this norm; 0: never")
    attention: Literal["sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention"] = Field(
        default="sdpa",
        description="how attention is computed; eager: without a kernel, for families that have none (gpt-oss); the "
        "flash kernels lay packed pieces end to end, and are a package (flash-attn) that an image of your own adds",
    )
    liger: bool = Field(
        default=False,
        description="cpt and sft: fused kernels of norms, positions, feed-forward parts and the loss (Hsu et al. "
        "2024); needs liger-kernel and a GPU",
    )
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto",
        description="what is computed in, and how wide frozen weights are (what learns is float32 in any case); auto: "
        "bfloat16 where `needs` asks for GPUs, else float32; the request names it",
    )
    adam_beta2: float = Field(default=0.999, gt=0, lt=1, description="how slowly AdamW forgets squared gradients")
    weight_decay: float = Field(default=0.0, ge=0, description="of AdamW: pull of the weights towards 0")
    batch_size: int = Field(default=8, ge=1, description="sequences per micro-batch")
    accumulation: int = Field(default=1, ge=1, description="micro-batches per step")
    max_length: int = Field(default=512, ge=16, description="tokens per sequence")
    epochs: float = Field(default=1.0, gt=0, description="times that the data are seen")
    evaluation_steps: int | None = Field(
        default=None, ge=1, description="measure the held-out loss this often; else at the end of each epoch"
    )
    patience: int | None = Field(
        default=None, ge=1, description="stop after so many measurements in a row without a lower held-out loss"
    )
    keep: Literal["last", "best"] = Field(
        default="last",
        description="whose weights are published: those after the last step, or those of the lowest held-out loss that "
        "was measured",
    )
    max_steps: int | None = Field(default=None, ge=1, description="stop earlier than the epochs say")
    shard_weights: bool = Field(
        default=False, description="share weights, gradients and optimizer out over the processes (FSDP2)"
    )
    context_parallel: int = Field(
        default=1,
        ge=1,
        description="cpt and sft: so many GPUs share each row, for rows longer than one of them holds (ring attention, "
        "Liu et al. 2023); with shard_weights, a document to a row (layout: rows, buckets), of families whose layers "
        "all see everything",
    )
    processes: int | None = Field(
        default=None,
        ge=1,
        description="a step has batch_size x accumulation rows for each of so many GPUs, however many train; absent: "
        "those of `needs`; the request names it",
    )
    checkpoint_steps: int = Field(default=50, ge=1, description="save at least this often")
    failure_hours: float = Field(
        default=24, gt=0, description="expected hours between failures; saves are at most sqrt(2 x cost x this) apart"
    )
    background_saves: bool = Field(
        default=False,
        description="flush and hash a checkpoint while training goes on, for one that takes seconds; a kill then "
        "loses at most one interval and the time of one save",
    )
    stall_seconds: float = Field(
        default=600, gt=0, description="no step for twice the usual step, and for this long, is a stall (exit 81)"
    )
    report_to: tuple[Literal["mlflow", "wandb", "tensorboard"], ...] = Field(
        default=("mlflow",), description="who gets the figures of the training"
    )

    @property
    def settled(self) -> dict[str, Any]:
        """See Section. What a request leaves open is what a section without GPUs means: transformers, and float32."""
        if not self.needs.gpus:
            return {}
        backend = "unsloth" if self.needs.gpus == 1 and not self.against_unsloth else "transformers"
        settled = {"backend": backend, "precision": "bfloat16"}
        counted = {"processes": self.needs.gpus} if self.processes is None and self.needs.gpus > 1 else {}
        return {key: value for key, value in settled.items() if getattr(self, key) == "auto"} | counted

    @property
    def against_unsloth(self) -> str | None:
        """What of the section unsloth does not do, or not so; None where nothing speaks against it on one GPU."""
        reasons = (
            (self.method == "full", "method: full, which unsloth may train in bfloat16, where small updates are lost"),
            (self.lora is not None and self.lora.dora, "lora.dora"),
            (self.lora is not None and self.lora.initial == "pissa", "lora.initial: pissa"),
            (self.attention != "sdpa", "attention, which unsloth chooses itself"),
            (self.liger, "liger, in whose place unsloth has kernels of its own"),
        )
        return next((reason for applies, reason in reasons if applies), None)

    @model_validator(mode="after")
    def _method_is_possible(self) -> "TrainingSection":
        if self.backend == "unsloth" and self.attention != "sdpa":
            raise ValueError("backend: unsloth chooses its attention itself; remove the key 'attention'")
        if self.method == "full" and self.lora is not None:
            raise ValueError("method: full trains every weight; the key 'lora' would be ignored, remove it")
        if self.method != "full" and self.lora is None:
            raise ValueError(f"method: {self.method} needs the key 'lora' (rank, alpha, ...)")
        if (self.schedule == "wsd") != (self.decay_share is not None):
            raise ValueError("schedule: wsd needs the key 'decay_share', and no other schedule reads it")
        if self.lora is not None and self.lora.initial == "pissa":
            self._require_base_of_its_own(self.lora)
        if self.final_rate_share and self.schedule not in ("cosine", "wsd"):
            raise ValueError(f"schedule: {self.schedule} would ignore the key 'final_rate_share'; remove it")
        if self.optimizer == "muon" and (self.method != "full" or self.shard_weights):
            raise ValueError("optimizer: muon is for whole matrices: it needs method: full, without shard_weights")
        if self.liger and self.backend == "unsloth":
            raise ValueError("backend: unsloth has kernels of its own, and would ignore the key 'liger'; remove it")
        if self.context_parallel > 1:
            self._require_rows_that_can_be_shared()
        if self.method == "qlora" and self.embedding_learning_rate is not None:
            raise ValueError(
                "method: qlora keeps embeddings frozen; remove embedding_learning_rate or say method: lora"
            )
        return self

    def _require_rows_that_can_be_shared(self) -> None:
        """Ring attention has no masks but the causal one, and what reckons with whole rows would see parts of them."""
        layout = getattr(self, "layout", "packed")
        reasons = (
            (not self.shard_weights, "needs shard_weights: true"),
            (layout == "packed", "needs a document to a row (cpt.layout: rows, sft.layout: buckets)"),
            (self.attention != "sdpa", f"does not go with attention: {self.attention}"),
            (self.liger, "does not go with liger"),
            (getattr(self, "replay", None) is not None, "does not go with replay"),
            (getattr(self, "neftune_alpha", None) is not None, "does not go with neftune_alpha"),
            (bool((self.processes or self.needs.gpus) % self.context_parallel), "must divide the number of GPUs"),
        )
        for applies, reason in reasons:
            if applies:
                raise ValueError(f"context_parallel: {self.context_parallel} {reason}")

    def _require_base_of_its_own(self, lora: LoraSettings) -> None:
        """PiSSA changes the base in memory: what loads it anew, or holds it otherwise, would have another one."""
        reasons = (
            (self.method == "qlora", "method: qlora"),
            (self.shard_weights, "shard_weights"),
            (lora.dora, "lora.dora"),
            (self.backend == "unsloth", "backend: unsloth"),
        )
        for applies, key in reasons:
            if applies:
                raise ValueError(f"lora.initial: pissa does not go with {key}; remove one of them")


class VocabularySettings(Strict):
    """New tokens for a language that the tokenizer cuts too finely (Kim et al. 2024, EEVE)."""

    tokens: int = Field(ge=1, description="tokens to add, at most; learned from the corpus")
    new_tokens_first: float = Field(
        default=0.2, ge=0, lt=1, description="share of the steps in which only the new tokens' embeddings learn"
    )


class CptSection(TrainingSection):
    """Continued pre-training."""

    layout: Literal["packed", "rows"] = Field(
        default="packed",
        description="packed: documents laid end to end into full rows; rows: a document, or a piece of one, to a row, "
        "rows of like length in a batch, for models whose attention sees through the bounds in packed rows",
    )
    english_replay_share: float = Field(default=0.0, ge=0, lt=1, description="share of English tokens in the mix")
    start_from: Literal["base", "previous_release"] = Field(
        default="base",
        description="previous_release: go on from the checkpoint of the newest earlier release of this model, with its "
        "tokenizer; from the base where there is none",
    )
    replay_share: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="previous_release only: share of tokens from that release's corpus, against forgetting (Ibrahim et "
        "al. 2024 use 0.05)",
    )
    vocabulary: VocabularySettings | None = Field(default=None, description="expand the tokenizer first")

    @model_validator(mode="after")
    def _new_tokens_can_learn(self) -> "CptSection":
        if self.vocabulary and self.method != "full" and self.embedding_learning_rate is None:
            raise ValueError(
                "vocabulary: new tokens need trained embeddings; add embedding_learning_rate, or say method: full"
            )
        return self

    @model_validator(mode="after")
    def _replay_has_a_source(self) -> "CptSection":
        if (self.start_from == "previous_release") != (self.replay_share is not None):
            raise ValueError(
                "start_from: previous_release needs the key 'replay_share', and start_from: base ignores it"
            )
        return self


class SftSection(TrainingSection):
    """Supervised fine-tuning on conversations; loss on the assistant's tokens only."""

    replay: ReplaySettings | None = Field(default=None, description="pre-training text beside the conversations")
    neftune_alpha: float | None = Field(default=None, gt=0, description="noise on embeddings (Jain et al. 2023)")
    system_prompt: str | None = Field(default=None, description="put first where a conversation has none of its own")
    honorific_prompts: dict[Literal["formal", "polite", "plain"], str] | None = Field(
        default=None,
        description="a line of the system turn by the level of politeness that the row names, or that all its answers "
        "share; so that the level can be asked for later",
    )
    layout: Literal["packed", "buckets"] = Field(
        default="packed",
        description="packed: conversations laid whole into rows; buckets: one to a row, rows of like length in a batch",
    )
    max_too_long_share: float = Field(default=0.05, ge=0, le=1, description="conversations left out as too long")
