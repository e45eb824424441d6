"""Stage `corpus`: a release's text files become clean training and validation shards."""

from trainers.corpus.chain import Plan, build
from trainers.corpus.read import files_below
from trainers.recipe.data import CorpusSection
from trainers.stage import StageContext, StageResult


def run(context: StageContext) -> StageResult:
    """Read the landed files, leave `train/`, `validation/`, `exclusions.jsonl.zst` and the report."""
    section: CorpusSection = context.section
    plan = Plan(section, files_below(context.inputs["landing"]))
    corpus = build(plan, context.scratch, context.output, context.reporter)
    context.reporter.attach(context.output / "report.md")
    return StageResult(metrics=corpus.metrics, details=corpus.details)
