"""Stage `evaluate`: base, CPT, SFT and RLHF (and the champion) side by side, the gate, and the report."""

import json
import time
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from trainers.artifacts import write_atomically
from trainers.contract import BadData, EvaluationDetails, Interval, TrainingDetails
from trainers.evaluation.bits_per_byte import Unigram
from trainers.evaluation.gate import CORPUS, INSTRUCTION, PREFERENCE, judge
from trainers.evaluation.measures import measure, measure_unigram, reward_margins
from trainers.evaluation.model import ModelUnderTest, check_same_tokenizer
from trainers.evaluation.report import Report, Sample
from trainers.evaluation.results import Results, Row
from trainers.evaluation.suites import (
    Instruction,
    Suite,
    by_domain,
    corpus_documents,
    held_out_suites,
    read_suites,
    spread,
)
from trainers.recipe import EvaluateSection
from trainers.stage import StageContext, StageResult

STAGES = {"base": "base_model", "cpt": "cpt_checkpoint", "sft": "sft_model", "rlhf": "rlhf_model"}
"""Name in the report -> name of the input."""


def run(context: StageContext) -> StageResult:
    """Measure every stage's model, judge the gate, write the report."""
    section: EvaluateSection = context.section
    transformers_logging.disable_progress_bar()
    folders = {stage: context.inputs[name] / "model" for stage, name in STAGES.items()}
    tokenizer_hash, template_hash = check_same_tokenizer(folders)
    if "champion" in context.inputs:
        folders["champion"] = context.inputs["champion"] / "model"
    suites = _suites(context, section)
    rows: dict[str, list[Row]] = {}
    samples = _samples(suites, section)
    speed: dict[str, float] = {}
    for stage, folder in folders.items():
        measured = _measured(context, stage, folder, suites, samples, speed)
        if "unigram" in measured:
            rows["unigram"] = measured.pop("unigram")
        rows[stage] = measured[stage]
    preference = [suite.name for suite in suites if suite.format == "preference"]
    for name in preference:
        pair = [[row for row in rows[stage] if row.suite == name] for stage in ("rlhf", "sft")]
        rows["rlhf"] += reward_margins(name, *pair)
    results = Results(rows, _groups(suites), context.request.seed)
    report = Report(
        title=f"Evaluation of {context.request.partition}",
        results=results,
        gate=judge(section.gate, results),
        samples=samples,
        losses=_losses(context),
        facts=_facts(context, tokenizer_hash, template_hash),
    )
    markdown = report.write(context.output)
    for name in ("report.md", "report.html"):
        context.reporter.attach(context.output / name)
    for result in report.gate:
        (context.reporter.say if result.passed else context.reporter.warn)(f"gate: {result.name}: {result.explanation}")
    figures = report.figures()
    return StageResult(
        metrics=_metrics(report, figures),
        details=EvaluationDetails(
            suites=figures,
            higher_is_better={suite: results.higher_is_better(suite) for suite in results.suites},
            gate=report.gate,
            champion=context.manifests["champion"].digest if "champion" in folders else None,
            markdown=markdown,
        ),
        timings=speed,
    )


def _suites(context: StageContext, section: EvaluateSection) -> list[Suite]:
    benchmarks = read_suites(context.inputs["benchmarks"], section.suites, section.max_items_per_suite)
    held_out = held_out_suites(context.inputs["corpus"], section.max_items_per_suite)
    suites = [part for suite in (*benchmarks, *held_out) for part in by_domain(suite)]
    if not suites:
        raise BadData("there is nothing to evaluate: no benchmark suite and no held-out text")
    context.reporter.say(", ".join(f"{suite.name} ({len(suite.items)})" for suite in suites))
    return suites


def _groups(suites: list[Suite]) -> dict[str, list[str]]:
    return {
        CORPUS: [suite.name for suite in suites if suite.name.startswith("corpus/")],
        INSTRUCTION: [suite.name for suite in suites if suite.format == "instruction"],
        PREFERENCE: [suite.name for suite in suites if suite.format == "preference"],
        "all/multiple_choice": [suite.name for suite in suites if suite.format == "multiple_choice"],
    }


def _samples(suites: list[Suite], section: EvaluateSection) -> list[Sample]:
    """Prompts spread over the instruction items; the replies come later, stage by stage."""
    items = [item for suite in suites for item in suite.items if isinstance(item, Instruction)]
    if not section.samples:
        return []
    return [Sample(item.messages[-1]["content"], item.answer) for item in spread(items, section.samples)]


def _measured(
    context: StageContext,
    stage: str,
    folder: Path,
    suites: list[Suite],
    samples: list[Sample],
    speed: dict[str, float],
) -> dict[str, list[Row]]:
    """The stage's rows, and the unigram model's beside CPT's; from an earlier attempt where it finished them."""
    kept = context.scratch / f"{stage}.json"
    if not kept.exists():
        write_atomically(kept, json.dumps(_measure_stage(context, stage, folder, suites, samples), ensure_ascii=False))
    saved = json.loads(kept.read_text(encoding="utf-8"))
    for sample, reply in zip(samples, saved["replies"], strict=True):
        sample.replies[stage] = reply
    speed.update(saved["speed"])
    return {name: [Row(**row) for row in rows] for name, rows in saved["rows"].items()}


def _measure_stage(
    context: StageContext, stage: str, folder: Path, suites: list[Suite], samples: list[Sample]
) -> dict[str, Any]:
    section: EvaluateSection = context.section
    started = time.monotonic()
    model = ModelUnderTest(folder, section.max_length, section.batch_tokens)
    rows: dict[str, list[Row]] = {stage: []}
    for number, suite in enumerate(suites, start=1):
        rows[stage] += measure(model, suite)
        context.reporter.progress(number, len(suites), f"{stage}: suite")
    replies = model.generate([[{"role": "user", "content": s.prompt}] for s in samples], section.sample_tokens)
    if model.scorer.truncated:
        context.reporter.warn(
            f"{stage}: {model.scorer.truncated} items are longer than {model.window} tokens and lost the left of their "
            "context; raise evaluate.max_length if the model allows it"
        )
    if stage == "cpt":
        texts = (row["text"] for row in corpus_documents(context.inputs["corpus"], "train"))
        unigram = Unigram.fit(texts, model.tokenizer, int(section.unigram_megabytes * 1e6))
        held_out = [suite for suite in suites if suite.name.startswith("corpus/")]
        rows["unigram"] = [row for suite in held_out for row in measure_unigram(unigram, model, suite)]
    seconds = time.monotonic() - started
    fed = model.scorer.tokens + model.scorer.padding
    return {
        "rows": {name: [row.to_json() for row in some] for name, some in rows.items()},
        "replies": replies,
        "speed": {
            f"{stage}_seconds": round(seconds, 2),
            f"{stage}_tokens_per_second": round(model.scorer.tokens / seconds, 1),
            f"{stage}_padding_share": round(model.scorer.padding / max(1, fed), 4),
        },
    }


def _losses(context: StageContext) -> dict[str, list[tuple[int, float]]]:
    losses = {}
    for stage, name in STAGES.items():
        details = context.manifests[name].details
        if isinstance(details, TrainingDetails):
            losses[stage] = details.loss
    return losses


def _facts(context: StageContext, tokenizer_hash: str, template_hash: str) -> dict[str, Any]:
    inputs = {f"input {item.name}": item.digest for item in context.request.inputs}
    return {
        "model": context.request.model,
        "release": context.request.release,
        "seed": context.request.seed,
        "tokenizer": tokenizer_hash,
        "chat template": template_hash,
        **inputs,
    }


def _metrics(report: Report, figures: dict[str, dict[str, Interval]]) -> dict[str, float]:
    metrics = {
        f"{stage}/{suite}": figure.value for suite, by_stage in figures.items() for stage, figure in by_stage.items()
    }
    metrics |= {f"gate/{result.name}": result.value for result in report.gate}
    return metrics | {"gate_passed": float(report.passed)}
