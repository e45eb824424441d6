"""Recipe sections of evaluation, its gate, and export."""

from typing import Literal

from pydantic import Field, field_validator

from trainers.contract.names import UnsafeName, checked
from trainers.contract.recipe.section import Section, Strict

_NOT_IN_THE_REGISTRY = frozenset("/:'\"")
"""What separates names, versions and aliases in MLflow's addresses and queries."""


class GateSection(Strict):
    """What a model must reach before it may be deployed. Absent limits are not checked."""

    cpt_below_unigram: float | None = Field(
        default=None, description="CPT's bits per byte, share below a unigram model"
    )
    sft_over_cpt: float | None = Field(default=None, description="points on held-out instructions (0 to 1)")
    instruction_following: float | None = Field(
        default=None, ge=0, le=1, description="RLHF's share of verifiable instructions followed, at least"
    )
    loops: float | None = Field(default=None, ge=0, le=1, description="RLHF's share of replies that loop, at most")
    drifts: float | None = Field(
        default=None, ge=0, le=1, description="RLHF's share of replies to Korean that are not Korean, at most"
    )
    contaminated_items: int | None = Field(
        default=0, ge=0, description="benchmark items with pieces in the training corpus, at most"
    )
    rlhf_preference: float | None = Field(default=None, description="held-out preference accuracy, and above SFT's")
    english_bits_per_byte_rise: float | None = Field(default=None, description="share over the base model's, at most")
    text_bits_per_byte_rise: float | None = Field(
        default=0.15, description="what SFT and RLHF may cost held-out Korean and English: share over CPT's, at most"
    )
    suites: dict[str, float] = Field(
        default={},
        description="suite of the report -> RLHF's figure, at least (where lower is better: at most). A suite of "
        "refusals or `<suite>/forbidden` holds safety to a limit, `<suite>/json` or `<suite>/level` a form",
    )


class JudgeSettings(Strict):
    """An LLM that compares RLHF's answers to open questions with another stage's. Its key is never in a recipe."""

    url: str = Field(pattern=r"^https?://", description="base address of an OpenAI-compatible API, ending in /v1")
    model: str = Field(description="the judge's name at that address")
    against: tuple[Literal["base", "cpt", "sft", "champion"], ...] = Field(
        default=("sft", "champion"), description="whose answers RLHF's are compared with"
    )
    answer_tokens: int = Field(default=512, ge=16, description="tokens of an answer, at most")


class EvaluateSection(Section):
    """What is measured."""

    suites: tuple[str, ...] | Literal["all"] = Field(
        default="all", description="those of the release's benchmarks that are measured, by name"
    )
    max_items_per_suite: int | None = Field(default=None, ge=1, description="at most, evenly over the suite")
    max_length: int = Field(default=512, ge=16, description="tokens of a question and its answer, at most")
    batch_tokens: int = Field(default=8192, ge=64, description="tokens per batch, padding included")
    unigram_megabytes: float = Field(default=64, gt=0, description="training text that the unigram model is fitted on")
    samples: int = Field(default=4, ge=0, description="generations shown side by side")
    sample_tokens: int = Field(default=48, ge=1, description="tokens of a generation or reply, at most")
    behaviour_prompts: int = Field(default=24, ge=0, description="prompts whose free replies are searched for loops")
    lm_eval: dict[str, str] = Field(
        default={},
        description="tasks or groups of lm_eval -> pin `<version>@<data digest>`, or empty to accept and tell it; "
        "their data come from a hub. A task that the landed benchmarks hold as YAML must be pinned as "
        "`landed@<digest of these files>`, which its refusal tells",
    )
    judge: JudgeSettings | None = Field(default=None, description="an LLM as judge; none asks nobody")
    gate: GateSection = GateSection()


class ExportSection(Section):
    """What is published."""

    formats: tuple[Literal["safetensors", "adapter"], ...] = Field(
        default=("safetensors",), description="the merged model; RLHF's adapter beside it (method: lora only)"
    )

    gguf: tuple[Literal["f16", "q8_0", "q4_k_m"], ...] = Field(
        default=(),
        description="forms for llama.cpp and Ollama beside it, each checked against f16, and f16 against the report; "
        "q4_k_m needs the extra llama-cpp where the export runs",
    )

    registered_name: str | None = Field(default=None, description="name in the model registry; the model's by default")

    @field_validator("registered_name")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is None:
            return None
        if not _NOT_IN_THE_REGISTRY.isdisjoint(name):
            raise ValueError("a name in the model registry has none of / : ' \"")
        try:
            return checked(name)
        except UnsafeName as error:
            raise ValueError(str(error)) from error

    @field_validator("gguf")
    @classmethod
    def _others_are_compared_with_f16(cls, forms: tuple[str, ...]) -> tuple[str, ...]:
        if forms and "f16" not in forms:
            raise ValueError("the other forms are compared with f16: add it")
        return forms
