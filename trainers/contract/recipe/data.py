"""Recipe sections of the data assets: corpus, instructions, preferences, benchmarks."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from trainers.contract.recipe.filters import FilterSettings
from trainers.contract.recipe.section import Plugin, Section, Strict


class FieldSettings(Strict):
    """Which fields of a record hold what."""

    rows: str | None = Field(
        default=None, description="where a JSON value holds its records: `document.*`; where absent it is one itself"
    )
    text: str = Field(
        default="text",
        description="the document, the only one that a record must have; several (`paragraph.*.form`) are its lines",
    )
    id: str = Field(default="id", description="its name, for exclusions and take-down; made of the text where absent")
    source: str = Field(default="source", description="where it is from; the file's place where absent")
    licence: str = Field(default="licence", description="its licence (`license` is known too); unknown where absent")
    url: str = Field(default="url", description="its address")


class NormaliseSettings(Strict):
    """How text is brought to one form."""

    width: Literal["half", "keep"] = Field(
        default="half", description="full-width Latin, digits and marks become ASCII"
    )
    quotes: Literal["straight", "keep"] = Field(default="straight", description="typographic quotes become ' and \"")
    compatibility: Literal["keep", "fold"] = Field(
        default="keep", description="fold: signs such as ㈜ and ㎏ spelt out"
    )
    repeats: int = Field(default=2, ge=0, description="longest run kept of a repeated syllable or ㅋ, ㅠ; 0 keeps all")


class BoilerplateSettings(Strict):
    """Which lines of a page are not its text (`trainers/text/boilerplate.py`)."""

    rules: tuple[Literal["navigation", "copyright", "notice", "contact"], ...] = Field(
        default=("navigation", "copyright", "notice", "contact"), description="kinds of lines to remove; [] keeps all"
    )
    max_characters: int = Field(default=200, ge=1, description="a longer line is text, whatever it says")


class NearDedupSettings(Strict):
    """Near duplicates (MinHash over word 5-grams)."""

    enabled: bool = Field(default=True, description="leave them out, but for one")
    threshold: float = Field(default=0.6, gt=0, le=1, description="least share of equal hashes, about the similarity")


class DecontaminationSettings(Strict):
    """What is done with documents that hold pieces of an evaluation suite."""

    action: Literal["remove", "cut", "off"] = Field(default="remove", description="cut: only the lines with the pieces")
    words: int = Field(default=13, ge=4, description="words of a piece that counts")
    characters: int = Field(default=40, ge=10, description="letters and digits of a piece that counts, spaces apart")


class DataSection(Section):
    """What all data assets have in common."""

    takedown: tuple[str, ...] = Field(
        default=(), description="ids or text sha256 that must not be in any build, nor copies of these"
    )


class CorpusSection(DataSection):
    """The corpus chain."""

    gives_out_tasks: ClassVar[bool] = True

    max_bad_share: float = Field(
        default=0.5, ge=0, le=1, description="more rows than this that cannot be read (JSON, encoding, text) fail it"
    )
    fields: FieldSettings = FieldSettings()
    normalise: NormaliseSettings = NormaliseSettings()
    boilerplate: BoilerplateSettings = BoilerplateSettings()
    filter: FilterSettings = FilterSettings()
    mask_personal_data: bool = Field(default=True, description="they become placeholders: `010-1234-5678` is `[PHONE]`")
    mask_addresses: bool = Field(default=False, description="street addresses too")
    name_model: str = Field(default="", description="a koredact bundle's folder here: names of people too; '': none")
    exact_dedup: bool = Field(default=True, description="leave out what has the same text as another, but for one")
    near_dedup: NearDedupSettings = NearDedupSettings()
    decontamination: DecontaminationSettings = DecontaminationSettings()
    against_earlier: bool = Field(default=True, description="leave out what the corpora of earlier releases hold")
    noun_statistics: int = Field(
        default=0, ge=0, description="documents whose nouns are counted for the report; 0: none (slow)"
    )
    fertility_of: tuple[str, ...] = Field(
        default=(), description="tokenizer.json files or model folders here: tokens per word, for the report"
    )
    noun_tagger: Literal["soynlp", "kiwi", "konlpy"] = Field(default="soynlp", description="who finds those nouns")
    validation_share: float = Field(default=0.02, gt=0, lt=0.5, description="share of documents held out of training")
    shard_format: Literal["jsonl", "parquet"] = Field(default="jsonl", description="JSON lines (zstd), or Parquet")
    shard_megabytes: float = Field(default=64, gt=0, description="of text, before compression")

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Self:
        if self.noun_tagger != "soynlp" and not self.noun_statistics:
            raise ValueError("noun_tagger has no effect while noun_statistics is 0; say how many documents are read")
        return self


class RowFields(Strict):
    """Columns of your own rows by what they mean, where they are not called by a usual name; `meta.body` is nested."""

    id: str | None = Field(default=None, description="the row's name")
    source: str | None = Field(default=None, description="where it is from")
    licence: str | None = Field(default=None, description="its licence")
    task: str | None = Field(default=None, description="what kind of work it asks for")


class ConversationFields(RowFields):
    """Columns of conversations."""

    messages: str | None = Field(default=None, description="the turns, as a list of messages")
    system: str | None = Field(default=None, description="what the system says before them")
    tools: str | None = Field(default=None, description="the tools that may be called: a list, or its JSON")
    history: str | None = Field(default=None, description="earlier turns: [[question, answer], ...]")
    prompt: str | None = Field(default=None, description="what the user asks")
    context: str | None = Field(default=None, description="what stands below the question")
    response: str | None = Field(default=None, description="what the assistant answers")


class InstructionFields(ConversationFields):
    """Columns of instructions."""

    reasoning_content: str | None = Field(default=None, description="what the assistant thinks before it answers")
    weight: str | None = Field(default=None, description="how much the row counts")
    honorific: str | None = Field(default=None, description="the level of speech of its answers")


class PreferenceFields(ConversationFields):
    """Columns of preferences."""

    chosen: str | None = Field(default=None, description="the better answer")
    rejected: str | None = Field(default=None, description="the worse one")
    answers: str | None = Field(default=None, description="several, each with `text` and `score`")
    label: str | None = Field(default=None, description="of an answer by itself: whether it is a good one")


class SuiteFields(RowFields):
    """Columns of benchmark items."""

    question: str | None = Field(default=None, description="of a multiple choice")
    choices: str | None = Field(default=None, description="a list of texts, or `{text, label}`")
    answer: str | None = Field(default=None, description="the choice's number from 0, its letter, or its text")
    messages: str | None = Field(default=None, description="of an instruction; ends with the user")
    checks: str | None = Field(default=None, description="what a right reply meets")
    prompt: str | None = Field(default=None, description="of a preference")
    chosen: str | None = Field(default=None, description="the better reply")
    rejected: str | None = Field(default=None, description="the worse one")
    text: str | None = Field(default=None, description="held-out text")
    domain: str | None = Field(default=None, description="where a text is from")
    score: str | None = Field(default=None, description="how choices are compared: per_character or sum")
    subject: str | None = Field(default=None, description="part of the suite, of which there is a mean")


class ConversationsSection(DataSection):
    """What instruction sets and preference pairs have in common."""

    validation_share: float = Field(default=0.05, ge=0, lt=0.5, description="share of prompts held out of training")
    max_bad_share: float = Field(
        default=0.2, ge=0, le=1, description="more broken rows, or bytes, than this fail the asset"
    )
    max_characters: int = Field(default=100_000, ge=1, description="of a whole conversation")
    min_hangul_or_latin_share: float = Field(default=0.5, ge=0, le=1, description="letters of known scripts / letters")
    mask_personal_data: bool = Field(default=True, description="they become placeholders: `010-1234-5678` is `[PHONE]`")
    mask_addresses: bool = Field(default=True, description="street addresses too")
    name_model: str = Field(default="", description="a koredact bundle's folder here: names of people too; '': none")
    decontamination: DecontaminationSettings = DecontaminationSettings()


class InstructionsSection(ConversationsSection):
    """Instruction sets for SFT."""

    fields: InstructionFields = InstructionFields()


class PreferencesSection(ConversationsSection):
    """Preference pairs for RLHF."""

    fields: PreferenceFields = PreferenceFields()


class SuiteReader(Strict):
    """Files of a suite in a form of its own, and the function that reads them."""

    files: str = Field(description="below the release's benchmarks folder; * is any text: riddles/*.csv")
    read: Plugin = Field(description="module:function of a file's path; it yields items as JSON lines would hold them")


SuiteName = Annotated[str, StringConstraints(pattern=r"^[\w.-]+$")]


class BenchmarksSection(DataSection):
    """Evaluation suites."""

    fields: SuiteFields = SuiteFields()
    max_bad_share: float = Field(
        default=0, ge=0, lt=1, description="of a suite's items that may be unusable; a suite that loses more fails it"
    )
    readers: dict[SuiteName, SuiteReader] = Field(default={}, description="by suite: readers of your own")

    max_items_per_suite: int | None = Field(default=None, ge=1, description="at most, evenly over the file")
