"""Typed details of a manifest: what each kind of stage says about its result."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field


class _Details(BaseModel):
    """Details name their kind; unknown fields are refused so that a typo is not lost."""

    model_config = {"extra": "forbid"}


class CorpusDetails(_Details):
    """Counts of documents, by what happened to them and where they came from."""

    kind: Literal["corpus"] = "corpus"
    read: int
    kept: int
    train_documents: int
    validation_documents: int
    characters: int
    bytes: int
    words: int
    excluded: dict[str, int] = Field(description="documents by reason")
    masked: dict[str, int] = Field(default_factory=dict, description="personal data masked, by type")
    repaired: dict[str, int] = Field(default_factory=dict, description="repairs, by kind")
    removed_lines: dict[str, int] = Field(default_factory=dict, description="boilerplate lines, by reason")
    by_source: dict[str, int] = Field(default_factory=dict)
    by_licence: dict[str, int] = Field(default_factory=dict)
    by_language: dict[str, int] = Field(default_factory=dict)
    contaminated: list[dict[str, Any]] = Field(default_factory=list, description="evidence, at most 100 rows")
    samples: list[str] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)


class DatasetDetails(_Details):
    """An instruction or preference set."""

    kind: Literal["dataset"] = "dataset"
    read: int
    kept: int
    train: int
    validation: int
    excluded: dict[str, int] = Field(default_factory=dict)
    by_source: dict[str, int] = Field(default_factory=dict)
    by_licence: dict[str, int] = Field(default_factory=dict)
    inherited_from: str | None = None
    samples: list[str] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)


class BenchmarkDetails(_Details):
    """The evaluation suites of a release: items by suite."""

    kind: Literal["benchmarks"] = "benchmarks"
    suites: dict[str, int]
    formats: dict[str, str] = Field(default_factory=dict, description="suite -> format")
    excluded: dict[str, int] = Field(default_factory=dict)
    inherited_from: str | None = None


class BaseModelDetails(_Details):
    """A pinned base model."""

    kind: Literal["base_model"] = "base_model"
    source: str
    revision: str | None = None
    architecture: str
    parameters: int
    vocabulary: int
    tokenizer_hash: str
    template_hash: str | None = None
    fertility: dict[str, float] = Field(default_factory=dict, description="tokens per character, per word")


class TrainingDetails(_Details):
    """A training stage: what was fed, what changed, and how the loss went."""

    kind: Literal["training"] = "training"
    method: str
    backend: str
    steps: int
    epochs: float
    tokens_seen: int
    tokens_trained: int = Field(description="tokens with a loss; padding and masked tokens are not counted")
    trainable_parameters: int
    tokenizer_hash: str
    template_hash: str | None = None
    packing: dict[str, float] = Field(default_factory=dict, description="audit: fill, splits, lost tokens, leakage")
    merge: dict[str, float] = Field(default_factory=dict, description="merged against adapter + base")
    lineage: list[str] = Field(default_factory=list, description="content digests from the base to the parent")
    loss: list[tuple[int, float]] = Field(default_factory=list, description="(step, loss), thinned for a plot")
    evaluation_loss: list[tuple[int, float]] = Field(default_factory=list)
    mask_sample: str | None = Field(default=None, description="a sample with the trained part marked")
    extra: dict[str, Any] = Field(default_factory=dict)


class Interval(BaseModel):
    """A figure with its 95% confidence interval and the number of items behind it."""

    value: float
    low: float
    high: float
    n: int


class GateResult(BaseModel):
    """One condition of the gate: what was measured, what was wanted."""

    name: str
    passed: bool
    value: float
    threshold: float
    explanation: str


class EvaluationDetails(_Details):
    """Suites by model stage, and the gate."""

    kind: Literal["evaluation"] = "evaluation"
    suites: dict[str, dict[str, Interval]] = Field(description="suite -> model stage -> figure")
    higher_is_better: dict[str, bool] = Field(default_factory=dict)
    gate: list[GateResult]
    champion: str | None = Field(default=None, description="content digest of the model compared with")
    markdown: str = Field(default="", description="the report as Markdown, for the UI")
    extra: dict[str, Any] = Field(default_factory=dict)

    @property
    def gate_passed(self) -> bool:
        """True where every condition holds."""
        return all(result.passed for result in self.gate)


class ExportDetails(_Details):
    """An exported model, ready to serve."""

    kind: Literal["export"] = "export"
    formats: list[str]
    parameters: int
    tokenizer_hash: str
    template_hash: str | None = None
    model_card: str
    extra: dict[str, Any] = Field(default_factory=dict)


Details = Annotated[
    CorpusDetails
    | DatasetDetails
    | BenchmarkDetails
    | BaseModelDetails
    | TrainingDetails
    | EvaluationDetails
    | ExportDetails,
    Field(discriminator="kind"),
]
