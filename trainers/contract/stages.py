"""The stages: every fact about one stands here, once, and all tables derive from it.

A new stage is one entry here, its module with `run(context)`, and its asset; where no kind of details fits what it has
to say, a class in `details.py`, which both worlds read.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from trainers.contract.recipe import (
    BaseSection,
    BenchmarksSection,
    CorpusSection,
    CptSection,
    EvaluateSection,
    ExportSection,
    InstructionsSection,
    PreferencesSection,
    RlhfSection,
    Section,
    SftSection,
    TrainingSection,
)


class Stage(BaseModel):
    """One kind of work: what it reads and makes, how that is partitioned, and where its code is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Also the key of its section in a recipe."""
    asset: str
    version: int
    """Raised by hand when the same request would give another result. Kept here, not in the stage's own module,
    because the assets need it for `code_version` and must not import a trainer to read it."""
    by_model: bool = True
    by_release: bool = True
    section: type[Section]
    """What a recipe says of it: the one of the data assets, or, where the stage is by model, every model's."""
    module: str
    """Where its `run` is; imported only when it runs, so that no command needs torch to be asked for help."""
    reads: tuple[str, ...] = ()
    """The stages whose artifacts it takes; a test holds this against the signatures of the assets."""
    spread: Literal["processes", "tasks"] | None = None
    """How it uses several nodes. processes: one for each GPU, which train as one (torchrun); tasks: its first pod
    gives them out to all (Ray, trainers/corpus/nodes.py); None: it uses one node, and of that one process."""
    column: str | None = None
    """What its model is called in reports; None where it makes no model."""

    @property
    def trains(self) -> bool:
        """Whether it trains a model: then the planner plans it."""
        return issubclass(self.section, TrainingSection)

    @property
    def models(self) -> tuple["Stage", ...]:
        """The stages whose models it reads, in the order of their making."""
        return tuple(STAGES[name] for name in self.reads if STAGES[name].column)

    @property
    def parent(self) -> "Stage | None":
        """The stage whose model it goes on with, or is about."""
        return self.models[-1] if self.models else None

    @property
    def subject(self) -> str:
        """The column of that model.

        Raises:
            LookupError: it reads no model.
        """
        if self.parent is None or self.parent.column is None:
            raise LookupError(f"stage {self.name} reads no model")
        return self.parent.column

    @property
    def lineage(self) -> tuple["Stage", ...]:
        """Every model before it, each after the data that it learns from; then itself."""
        before = self.parent.lineage if self.parent else ()
        data = tuple(STAGES[name] for name in self.reads if not STAGES[name].column)
        return (*dict.fromkeys((*before, *data)), self)


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            name="benchmarks",
            asset="benchmarks",
            version=6,
            by_model=False,
            section=BenchmarksSection,
            module="trainers.benchmarks.stage",
        ),
        Stage(
            name="corpus",
            asset="corpus",
            version=11,
            by_model=False,
            section=CorpusSection,
            module="trainers.corpus.stage",
            reads=("benchmarks",),
            spread="tasks",
        ),
        Stage(
            name="instructions",
            asset="instructions",
            version=8,
            by_model=False,
            section=InstructionsSection,
            module="trainers.conversations.instructions",
            reads=("benchmarks",),
        ),
        Stage(
            name="preferences",
            asset="preferences",
            version=7,
            by_model=False,
            section=PreferencesSection,
            module="trainers.conversations.preferences",
            reads=("benchmarks",),
        ),
        Stage(
            name="base_model",
            asset="base_model",
            version=3,
            by_release=False,
            section=BaseSection,
            module="trainers.training.base_model.stage",
            column="base",
        ),
        Stage(
            name="cpt",
            asset="cpt_checkpoint",
            version=6,
            section=CptSection,
            module="trainers.training.cpt",
            reads=("base_model", "corpus"),
            spread="processes",
            column="cpt",
        ),
        Stage(
            name="sft",
            asset="sft_model",
            version=8,
            section=SftSection,
            module="trainers.training.sft",
            reads=("cpt", "instructions", "corpus"),
            spread="processes",
            column="sft",
        ),
        Stage(
            name="rlhf",
            asset="rlhf_model",
            version=8,
            section=RlhfSection,
            module="trainers.training.rlhf",
            reads=("sft", "preferences", "corpus"),
            spread="processes",
            column="rlhf",
        ),
        Stage(
            name="evaluate",
            asset="eval_report",
            version=6,
            section=EvaluateSection,
            module="trainers.evaluation.stage",
            reads=("base_model", "cpt", "sft", "rlhf", "benchmarks", "corpus"),
        ),
        Stage(
            name="export",
            asset="deployed_model",
            version=3,
            section=ExportSection,
            module="trainers.export.stage",
            reads=("rlhf", "evaluate"),
        ),
    )
}
