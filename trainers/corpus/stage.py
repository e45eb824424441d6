"""Stage `corpus`: a release's text files become clean training and validation shards.

Inputs: `landing`; `benchmarks` (kept out of the corpus); and, each optional, `earlier...`: corpora of earlier
releases, whose documents are not taken again.
"""

import math
from pathlib import Path

from trainers.corpus.chain import build
from trainers.corpus.earlier import FOLDER, EarlierCorpus
from trainers.corpus.plan import Plan
from trainers.corpus.read import files_below
from trainers.recipe.data import CorpusSection
from trainers.stage import StageContext, StageResult


def run(context: StageContext) -> StageResult:
    """Leave `train/`, `validation/`, `exclusions.jsonl.zst`, `dedup_index/` and the report."""
    section: CorpusSection = context.section
    suites = context.inputs.get("benchmarks")
    plan = Plan(section, files_below(context.inputs["landing"]), suite_files(suites) if suites else ())
    plan.claim(context.scratch / "blocks", restart=True)  # the request is the same: only the code can have changed
    earlier = [
        EarlierCorpus(context.manifests[name].request.release or name, folder / FOLDER)
        for name, folder in sorted(context.inputs.items())
        if name.startswith("earlier")
    ]
    workers = max(1, math.ceil(context.request.needs.cpu))
    corpus = build(plan, context.scratch, context.output, context.reporter, workers, earlier)
    context.reporter.attach(context.output / "report.md")
    return StageResult(metrics=corpus.metrics, details=corpus.details, timings=corpus.timings)


def suite_files(benchmarks: Path) -> tuple[Path, ...]:
    """The suites of a `benchmarks` artifact."""
    return tuple(sorted(path for path in benchmarks.glob("*.jsonl")))
