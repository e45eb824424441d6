"""Stage `corpus`: a release's text files become clean training and validation shards.

Inputs: `landing`; `benchmarks` (kept out of the corpus); and, each optional, `earlier_<release>`: corpora of
earlier releases, whose documents are not taken again. Of these only the index and the vocabulary are read.
"""

import math
import sys
from pathlib import Path
from typing import Any

from trainers.contract import DEDUP_INDEX, EARLIER, BadRequest, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.corpus.chain import build, clean_blocks
from trainers.corpus.earlier import EarlierCorpus
from trainers.corpus.plan import CorpusPlan
from trainers.corpus.write import EXCLUSIONS
from trainers.runner.stage import StageContext, StageResult, typed_section
from trainers.text.read import files_below, suite_files


def run(context: StageContext) -> StageResult:
    """Leave `train/`, `validation/`, `exclusions.jsonl.zst`, `dedup_index/` and the report."""
    plan = _plan(context.section, context.inputs)
    plan.claim(context.scratch / "blocks", restart=True)  # the request is the same: only the code can have changed
    earlier = [
        EarlierCorpus(item.name.removeprefix(EARLIER), context.inputs[item.name] / DEDUP_INDEX)
        for item in context.request.inputs  # oldest first
        if item.name.startswith(EARLIER)
    ]
    corpus = build(plan, context.scratch, context.output, context.reporter, _workers(context.request), earlier)
    context.reporter.attach(context.output / "report.md")
    return StageResult(metrics=corpus.metrics, details=corpus.details, timings=corpus.timings, provenance=(EXCLUSIONS,))


def clean_slice(request: StageRequest, store: ArtifactStore, landing: Path, index: int, of: int) -> int:
    """Clean every `of`-th block, one index of an Indexed Job; the stage itself, run afterwards, joins them all.

    Slices share the request's partial folder without its lock: no block belongs to two of them.

    Returns:
        The number of blocks of this slice.

    Raises:
        BadRequest: the index is out of range, or the folder holds work of another plan.
    """
    if not 0 <= index < of:
        raise BadRequest(f"--index {index} --of {of}: the index must be from 0 to {of - 1}")
    inputs = {item.name: store.resolve(item, landing) for item in request.inputs}
    plan = _plan(typed_section(request, landing, store.root), inputs)
    blocks = store.beside(request).scratch / "blocks"
    plan.claim(blocks, restart=False)
    places, _ = clean_blocks(plan, blocks, _Printer(f"corpus {index}/{of}"), _workers(request), index, of)
    return len(places)


class _Printer:
    """Says things on the terminal; a slice has no live messages."""

    def __init__(self, name: str):
        self._name = name

    def say(self, text: str) -> None:
        print(f"[{self._name}] {text}", flush=True)

    def warn(self, text: str) -> None:
        print(f"[{self._name}] warning: {text}", flush=True, file=sys.stderr)


def _plan(section: Any, inputs: dict[str, Path]) -> CorpusPlan:
    suites = inputs.get("benchmarks")
    return CorpusPlan(section, files_below(inputs["landing"]), suite_files(suites) if suites else ())


def _workers(request: StageRequest) -> int:
    return max(1, math.ceil(request.needs.cpu))
