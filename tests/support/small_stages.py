"""Stages without models, run by the real launcher as real processes: they write small files and typed details.

Used where the assets are what is tested. What a stage does is told by the release's landed files: a corpus file
`fail-<code>` makes the corpus stage end with that exit code; `stop-once` makes its first attempt stop, resumable.
"""

import json
import os
import signal
import sys
import time
from unittest.mock import patch

from trainers.__main__ import main
from trainers.contract import (
    BadData,
    BaseModelDetails,
    BenchmarkDetails,
    CorpusDetails,
    DatasetDetails,
    Details,
    EvaluationDetails,
    ExportDetails,
    GateResult,
    Interrupted,
    Interval,
    TrainingDetails,
)
from trainers.runner.stage import StageContext, StageResult

HASH = "0" * 64
CONDITIONS = ("sft_over_cpt", "not_contaminated", "all_finite", "loops", "suite_limit/follow/forbidden")
"""Of the small report's gate; all fail together, where SMALL_STAGES_GATE says so."""


def details(context: StageContext) -> Details:
    match context.request.stage:
        case "corpus":
            counts = {"read": 3, "kept": 2, "train_documents": 1, "validation_documents": 1}
            return CorpusDetails(**counts, characters=20, bytes=60, words=5, excluded={"empty": 1}, samples=["안녕"])
        case "instructions" | "preferences":
            return DatasetDetails(read=3, kept=2, train=1, validation=1, samples=["질문"])
        case "benchmarks":
            return BenchmarkDetails(suites={"facts": 2})
        case "base_model":
            shape = {"source": "built", "architecture": "none", "parameters": 10, "vocabulary": 300}
            return BaseModelDetails(**shape, tokenizer_hash=HASH, fertility={"tokens per word": 2.0})
        case "cpt" | "sft" | "rlhf":
            counts = {"steps": 2, "epochs": 1, "tokens_seen": 10, "tokens_trained": 10, "trainable_parameters": 10}
            losses = [(1, 3.0), (2, 2.5)]
            return TrainingDetails(method="full", backend="none", **counts, tokenizer_hash=HASH, loss=losses)
        case "evaluate":
            learned = os.environ.get("SMALL_STAGES_GATE", "pass") == "pass"
            row = {"passed": learned, "value": 0.3, "threshold": 0.2, "explanation": "30 points, wanted 20"}
            value = float(os.environ.get("SMALL_STAGES_FIGURE", "0.5"))
            figure = Interval(value=value, low=value - 0.05, high=value + 0.05, n=400)
            return EvaluationDetails(
                suites={"facts": {"rlhf": figure}}, gate=[GateResult(name=name, **row) for name in CONDITIONS]
            )
        case "export":
            return ExportDetails(formats=["safetensors"], parameters=10, tokenizer_hash=HASH, model_card="# card")
    raise AssertionError(context.request.stage)


def run(context: StageContext) -> StageResult:
    for path in context.inputs["landing"].iterdir() if "landing" in context.inputs else ():
        if path.name == "stop-once" and context.attempt.number == 1:
            raise Interrupted("asked to stop")
        if path.name == "kill-once" and context.attempt.number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if path.name == "fail-65":
            raise BadData("row 7 has no text")
        if path.name == "sleep":
            (context.scratch / "pid").write_text(str(os.getpid()))
            time.sleep(60)
    context.reporter.say("at work")
    context.reporter.progress(1, 1)
    inputs = {item.name: item.digest for item in context.request.inputs}
    (context.output / "result.json").write_text(json.dumps(inputs))
    return StageResult(metrics={"figure": 1.0}, details=details(context))


if __name__ == "__main__":
    with patch("trainers.runner.stage._stage_function", lambda name: run):
        sys.exit(main())
