"""Typed details of a manifest: what each kind of stage says about its result.

In a manifest they stand in two halves. `decides` is what follows from the request: verdicts, counts, hashes, whatever
a later step acts on; the content digest covers it. `measured` is how it was made and what is only shown: engine,
curves, samples, estimates, places of origin; two runs of one request may differ there. A field is measured where its
type says so; to the code both halves are fields like any other.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from trainers.contract.model_facts import ModelFacts
from trainers.contract.replies import GreedyReply

_T = TypeVar("_T")
_MEASURED = "measured"
Measured = Annotated[_T, _MEASURED]
"""The type of a field that the content digest does not cover."""


_UNREAD = "files, or what is left of them, that could not be read"
_IGNORED = "columns that nothing reads -> rows that have them"
_DROPPED = "reason -> the first rows that it excluded (at most 3): where they lay, and what was wrong"


class _Strict(BaseModel):
    """Unknown fields are refused so that a typo is not lost."""

    model_config = ConfigDict(extra="forbid")


class Details(_Strict):
    """What all kinds have in common: they name their kind, and are written in two halves. A class is a new kind."""

    kind: str

    @classmethod
    def of_its_kind(cls, written: Mapping[str, Any]) -> "Details":
        """Details as they were written, as the class of their kind.

        Raises:
            ValueError: no class has this kind, or a field is wrong.
        """
        kinds = {kind.model_fields["kind"].default: kind for kind in cls.__subclasses__()}
        if (kind := kinds.get(written.get("kind"))) is None:
            raise ValueError(f"no details are of kind {written.get('kind')!r}; those there are: {', '.join(kinds)}")
        return kind.model_validate(written)

    @property
    def decides(self) -> dict[str, Any]:
        """What the content digest covers, as plain JSON. Defaults are left out: a later version may add a field."""
        half: dict[str, Any] = self.model_dump(mode="json", exclude_defaults=True)["decides"]
        return half

    @model_serializer(mode="wrap")
    def _in_halves(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        decides: dict[str, Any] = fields(self)
        kind = decides.pop("kind", type(self).model_fields["kind"].default)
        measured = {
            name: decides.pop(name)
            for name, field in type(self).model_fields.items()
            if _MEASURED in field.metadata and name in decides
        }
        return {"kind": kind, "decides": decides, "measured": measured}

    @model_validator(mode="before")
    @classmethod
    def _from_halves(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.keys() == {"kind", "decides", "measured"}:
            return {"kind": data["kind"], **data["decides"], **data["measured"]}
        return data


class Contamination(_Strict):
    """A piece of text that a document and an item of an evaluation suite have in common."""

    item: str
    document: str
    piece: str
    source: str = ""


class Unread(_Strict):
    """A file of a drop, or what is left of one, that was not read."""

    file: str
    reason: str
    detail: str
    bytes: int
    rows: int = Field(description="about, if its rows are as long as those that were read")


class NounStatistics(_Strict):
    """Nouns in a sample of a corpus, against those of earlier releases."""

    nouns: int = Field(description="how many different ones")
    new_words: dict[str, int] = Field(description="by frequency")
    new_word_share: float = Field(description="of all occurrences")
    drift: dict[str, float] = Field(
        description="Jensen-Shannon divergence from the last release, 0 (the same) to 1 (nothing in common)"
    )


class RuleExample(_Strict):
    """The beginning of a document, personal data masked, and the figure that a filter rule compares."""

    value: float
    text: str


class RuleEffect(_Strict):
    """What one filter rule does to a corpus. A document that breaks several rules counts for the first."""

    rule: str
    limit: float
    documents: int
    bytes: int
    alone: int = Field(description="documents that break no other rule: without this one they would have stayed")
    alone_bytes: int
    excluded: list[RuleExample] = Field(description="at most 3")
    kept: list[RuleExample] = Field(description="at most 3 that stay, nearest the limit")


class LineChange(_Strict):
    """A line of a text before and after a change, personal data in neither."""

    before: str = Field(description="characters that nobody sees as ‹U+200B›; ▪ for each character that was masked")
    after: str = Field(description="empty: the line was removed")


class TextChange(_Strict):
    """What one kind of repair, removal of lines, or masking does to a corpus."""

    step: Literal["repaired", "removed lines", "masked"]
    kind: str
    documents: int
    examples: list[LineChange] = Field(description="at most 2")


class CorpusWork(_Strict):
    """How a corpus was made: what spread its tasks over what, and what that took."""

    engine: Literal["process", "pool", "ray"]
    nodes: int = Field(description="machines whose processes did tasks")
    repeated: int = Field(description="tasks done again, because a worker or its machine was lost")
    peak_by_node: dict[str, int] = Field(description="bytes of memory: the most of each process, added up")
    seconds: dict[str, float] = Field(description="by step")
    dashboard: str = Field(default="", description="address of the page of the Ray cluster, where it had one")


class CorpusDetails(Details):
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
    earlier: dict[str, int] = Field(default_factory=dict, description="duplicates of what a release before held")
    contaminated: list[Contamination] = Field(default_factory=list, description="evidence, at most 100 rows")
    unread: list[Unread] = Field(default_factory=list, description=_UNREAD)
    ignored_fields: dict[str, int] = Field(default_factory=dict, description=_IGNORED)
    rules: Measured[list[RuleEffect]] = Field(default_factory=list, description="filter rules that exclude something")
    changes: Measured[list[TextChange]] = Field(default_factory=list, description="repairs, removed lines, masking")
    samples: Measured[list[str]] = Field(default_factory=list)
    plan: Measured[str | None] = Field(default=None, description="digest of the files' division into blocks")
    length: Measured[dict[str, int]] = Field(default_factory=dict, description="kept, by characters at least")
    cluster_size: Measured[dict[str, int]] = Field(default_factory=dict, description="groups of duplicates, by size")
    dedup_bytes_per_document: Measured[dict[str, int]] = Field(default_factory=dict, description="by place")
    nouns: Measured[NounStatistics | None] = None
    work: Measured[CorpusWork | None] = None
    fertility: Measured[dict[str, dict[str, float]]] = Field(
        default_factory=dict, description="tokenizer -> language and source -> tokens per word"
    )


class DatasetDetails(Details):
    """An instruction or preference set."""

    kind: Literal["dataset"] = "dataset"
    read: int
    kept: int
    train: int
    validation: int
    excluded: dict[str, int] = Field(default_factory=dict)
    unread: list[Unread] = Field(default_factory=list, description=_UNREAD)
    ignored_fields: dict[str, int] = Field(default_factory=dict, description=_IGNORED)
    contradicting: int = Field(default=0, description="pairs whose sides stand the other way round in another row")
    unpaired: int = Field(default=0, description="answers with a label, of preferences; only kto trains on them")
    masked: dict[str, int] = Field(default_factory=dict, description="personal data masked, by type")
    by_source: dict[str, int] = Field(default_factory=dict)
    by_licence: dict[str, int] = Field(default_factory=dict)
    by_task: dict[str, int] = Field(default_factory=dict)
    honorifics: dict[str, int] = Field(default_factory=dict, description="assistant messages by level of speech")
    dropped: Measured[dict[str, list[str]]] = Field(default_factory=dict, description=_DROPPED)
    inherited_from: Measured[str | None] = None
    samples: Measured[list[str]] = Field(default_factory=list)


class BenchmarkDetails(Details):
    """The evaluation suites of a release: items by suite."""

    kind: Literal["benchmarks"] = "benchmarks"
    suites: dict[str, int]
    formats: dict[str, str] = Field(default_factory=dict, description="suite -> format")
    excluded: dict[str, int] = Field(default_factory=dict)
    unread: list[Unread] = Field(default_factory=list, description=_UNREAD)
    ignored_fields: dict[str, int] = Field(default_factory=dict, description=_IGNORED)
    dropped: Measured[dict[str, list[str]]] = Field(default_factory=dict, description=_DROPPED)
    inherited_from: Measured[str | None] = None


class BaseModelDetails(Details):
    """A pinned base model."""

    kind: Literal["base_model"] = "base_model"
    source: Measured[str] = Field(description="built, a repository, or a folder; a folder counts by its content")
    revision: str | None = None
    architecture: str
    parameters: int
    vocabulary: int
    tokenizer_hash: str
    template_hash: str | None = None
    fertility: dict[str, float] = Field(default_factory=dict, description="tokens per character, per word")
    facts: ModelFacts | None = Field(default=None, description="token ids and lengths; none in manifests of 0.2")


class Pretraining(_Strict):
    """What continued pre-training read."""

    english_share: float = Field(description="of the tokens")
    replay_share: float | None = Field(default=None, description="of the tokens, from the previous release's corpus")
    continued_from: str | None = Field(default=None, description="release (content digest) of the checkpoint before")


class VocabularyExpansion(_Strict):
    """What new tokens are worth."""

    new_tokens: int
    first_new_token: int
    tokens_per_word_before: dict[str, float] = Field(description="by domain")
    tokens_per_word_after: dict[str, float] = Field(description="by domain")
    tokens_saved: float = Field(description="share of the tokens to train on")
    gpu: str
    gpu_hours_saved: dict[str, float] = Field(description="by domain; hours of one such GPU, as planned")


class Alignment(_Strict):
    """How it was learned from preferences."""

    algorithm: str
    reward_model: str | None = Field(
        default=None, description="content digest of the trained reward model that rates the answers"
    )
    stopped: str | None = Field(default=None, description="why training ended before its last step")


class TrainingDetails(Details):
    """A training stage: what was fed, what changed, and how the loss went."""

    kind: Literal["training"] = "training"
    method: str
    steps: int
    epochs: float
    best_step: int | None = Field(default=None, description="whose weights are published; None: the last step's")
    tokens_seen: int
    tokens_trained: int = Field(description="tokens with a loss; padding and masked tokens are not counted")
    tokenizer_hash: str
    template_hash: str | None = None
    lineage: list[str] = Field(default_factory=list, description="content digests from the base to the parent")
    pretraining: Pretraining | None = None
    alignment: Alignment | None = None
    facts: ModelFacts | None = Field(default=None, description="the base model's; none in manifests of 0.2")
    backend: Measured[str]
    kernels: Measured[dict[str, str]] = Field(
        default_factory=dict,
        description="what computed it: attention, optimizer, types of weights, and whose kernels took part",
    )
    trainable_parameters: Measured[int] = Field(description="in the leading process")
    packing: Measured[dict[str, float]] = Field(
        default_factory=dict, description="audit: fill, splits, lost tokens, leakage"
    )
    merge: Measured[dict[str, float]] = Field(default_factory=dict, description="merged against adapter + base")
    expansion: Measured[VocabularyExpansion | None] = None
    loss: Measured[list[tuple[int, float]]] = Field(
        default_factory=list, description="(step, loss), thinned for a plot"
    )
    evaluation_loss: Measured[list[tuple[int, float]]] = Field(default_factory=list)
    curves: Measured[dict[str, list[tuple[int, float]]]] = Field(
        default_factory=dict, description="as loss: learning_rate, grad_norm, tokens_per_second"
    )
    mask_sample: Measured[str | None] = Field(default=None, description="a sample with the trained part marked")


class Interval(_Strict):
    """A figure with its 95% confidence interval and the number of items behind it."""

    value: float
    low: float
    high: float
    n: int


class GateResult(_Strict):
    """One condition of the gate: what was measured, what was wanted."""

    name: str
    passed: bool
    value: float
    threshold: float
    explanation: str


class EvaluationDetails(Details):
    """Suites by model stage, and the gate."""

    kind: Literal["evaluation"] = "evaluation"
    suites: dict[str, dict[str, Interval]] = Field(description="suite -> model stage -> figure")
    higher_is_better: dict[str, bool] = Field(default_factory=dict)
    gate: list[GateResult]
    champion: str | None = Field(default=None, description="content digest of the model compared with")
    replies: list[GreedyReply] = Field(default_factory=list, description="by which a server of the model is known")
    contamination: list[Contamination] = Field(default_factory=list, description="evidence, at most 100 rows")
    markdown: Measured[str] = Field(default="", description="the report as Markdown, for the UI")

    @property
    def gate_passed(self) -> bool:
        """True where every condition holds."""
        return all(result.passed for result in self.gate)


class GgufForm(_Strict):
    """A GGUF file of an exported model."""

    bytes: int
    perplexity: float = Field(description="of its weights, on texts of the packaged sample")
    replies_compared: int = Field(default=0, description="that llama.cpp gave as evaluation heard them; 0: not run")


class ExportDetails(Details):
    """An exported model, ready to serve."""

    kind: Literal["export"] = "export"
    formats: list[str]
    parameters: int
    tokenizer_hash: str
    template_hash: str | None = None
    model: str | None = Field(default=None, description="content digest of what is exported")
    report: str | None = Field(default=None, description="content digest of what judged it")
    facts: ModelFacts | None = Field(default=None, description="the base model's; none in manifests of 0.2")
    replies: list[GreedyReply] = Field(default_factory=list, description="the report's; what serves the model must say")
    gguf: Measured[dict[str, GgufForm]] = Field(default_factory=dict, description="by form: f16, q8_0, q4_k_m")
    lineage: Measured[list[str]] = Field(default_factory=list, description="content digests, as far as still there")
    model_card: Measured[str]
