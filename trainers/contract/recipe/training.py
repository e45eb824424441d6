"""Recipe sections of the base model and the training stages."""

from typing import Literal

from pydantic import Field, model_validator

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
    intermediate: int = Field(ge=16, description="width of the feed-forward part (intermediate_size)")
    vocabulary: int = Field(ge=300, description="rows of the embedding (vocab_size)")
    tied: bool = Field(default=False, description="input and output embeddings are one matrix")


class BaseSection(Section):
    """Where the base model comes from: built here, a folder, or a hub at a pinned revision."""

    source: Literal["built", "folder", "hub"] = Field(
        description="built: here, from nothing (architecture, vocabulary); folder: a model folder; hub: a pinned repo"
    )
    architecture: Architecture | None = Field(default=None, description="shape of the model (built)")
    vocabulary: int | None = Field(default=None, ge=300, description="tokens of the tokenizer that is trained (built)")
    folder: str | None = Field(default=None, description="a model folder, by its path where the stage runs (folder)")
    repo: str | None = Field(default=None, description="its name on the hub, e.g. Qwen/Qwen2.5-7B (hub)")
    revision: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{40}$", description="a commit of it, never a branch (hub)"
    )
    shape: ModelShape | None = Field(default=None, description="for the planner; checked against the fetched config")
    template: Literal["chatml", "qwen2.5", "llama3", "gemma"] = Field(
        default="chatml", description="the family's way of writing a chat, with the assistant's part marked"
    )

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
        return self


class LoraSettings(Strict):
    """Low-rank adapters (Hu et al. 2021)."""

    rank: int = Field(default=16, ge=1, description="columns of each adapter: what it can learn, and its size")
    alpha: float = Field(default=32, gt=0, description="an adapter counts alpha / rank times")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of an adapter's input left out at random")
    targets: Literal["all-linear"] | tuple[str, ...] = Field(
        default="all-linear", description="modules that get an adapter, by name: q_proj, v_proj, ..."
    )
    dora: bool = Field(default=False, description="magnitudes apart from directions (Liu et al. 2024)")


class TrainingSection(Section):
    """What every training stage sets."""

    backend: Literal["auto", "unsloth", "transformers"] = Field(
        default="auto", description="auto: unsloth on one GPU where it is installed, else transformers"
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
    adam_beta2: float = Field(default=0.999, gt=0, lt=1, description="how slowly AdamW forgets squared gradients")
    weight_decay: float = Field(default=0.0, ge=0, description="of AdamW: pull of the weights towards 0")
    batch_size: int = Field(default=8, ge=1, description="sequences per micro-batch")
    accumulation: int = Field(default=1, ge=1, description="micro-batches per step")
    max_length: int = Field(default=512, ge=16, description="tokens per sequence")
    epochs: float = Field(default=1.0, gt=0, description="times that the data are seen")
    max_steps: int | None = Field(default=None, ge=1, description="stop earlier than the epochs say")
    shard_weights: bool = Field(
        default=False, description="share weights, gradients and optimizer out over the processes (FSDP2)"
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

    @model_validator(mode="after")
    def _method_is_possible(self) -> "TrainingSection":
        if self.method == "full" and self.lora is not None:
            raise ValueError("method: full trains every weight; the key 'lora' would be ignored, remove it")
        if self.method != "full" and self.lora is None:
            raise ValueError(f"method: {self.method} needs the key 'lora' (rank, alpha, ...)")
        if (self.schedule == "wsd") != (self.decay_share is not None):
            raise ValueError("schedule: wsd needs the key 'decay_share', and no other schedule reads it")
        if self.method == "qlora" and self.embedding_learning_rate is not None:
            raise ValueError(
                "method: qlora keeps embeddings frozen; remove embedding_learning_rate or say method: lora"
            )
        return self


class VocabularySettings(Strict):
    """New tokens for a language that the tokenizer cuts too finely (Kim et al. 2024, EEVE)."""

    tokens: int = Field(ge=1, description="tokens to add, at most; learned from the corpus")
    new_tokens_first: float = Field(
        default=0.2, ge=0, lt=1, description="share of the steps in which only the new tokens' embeddings learn"
    )


class CptSection(TrainingSection):
    """Continued pre-training."""

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
