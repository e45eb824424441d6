"""Stage `corpus`: a release's text files become clean training and validation shards.

Inputs: `landing`; `benchmarks` (kept out of the corpus); and, each optional, `earlier_<release>`: corpora of
earlier releases, whose documents are not taken again. Of these only the index and the vocabulary are read.
"""

from pathlib import Path
from typing import Any

from trainers.contract import DEDUP_INDEX, EARLIER
from trainers.corpus.chain import build
from trainers.corpus.earlier import EarlierCorpus
from trainers.corpus.exclusions import EXCLUSIONS
from trainers.corpus.plan import CorpusPlan
from trainers.runner.stage import StageContext, StageResult
from trainers.text.read import files_below, suite_files


def run(context: StageContext) -> StageResult:
    """Leave `train/`, `validation/`, `exclusions.jsonl.zst`, `dedup_index/` and the report."""
    plan = _plan(context.section, context.inputs)
    earlier = [
        EarlierCorpus(item.name.removeprefix(EARLIER), context.inputs[item.name] / DEDUP_INDEX)
        for item in context.request.inputs  # oldest first
        if item.name.startswith(EARLIER)
    ]
    corpus = build(plan, context.scratch, context.output, context.reporter, context.request.needs, earlier)
    context.reporter.attach(context.output / "report.md")
    return StageResult(metrics=corpus.metrics, details=corpus.details, timings=corpus.timings, provenance=(EXCLUSIONS,))


def _plan(section: Any, inputs: dict[str, Path]) -> CorpusPlan:
    suites = inputs.get("benchmarks")
    return CorpusPlan(section, files_below(inputs["landing"]), suite_files(suites) if suites else ())
