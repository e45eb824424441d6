"""Stage `evaluate`: base, CPT, SFT and RLHF (and the champion) side by side, the gate, and the report."""

import json
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from trainers.benchmarks.formats import Instruction, Suite, by_domain, held_out_suites, question_of, read_suites, spread
from trainers.contract import STAGES, BadData, Contamination, EvaluationDetails, Interval, TrainingDetails
from trainers.contract.files import write_atomically
from trainers.contract.page_links import PAGE, where_to_go
from trainers.contract.recipe import EvaluateSection
from trainers.evaluation.contamination import contamination
from trainers.evaluation.gate import CORPUS, INSTRUCTION, PREFERENCE, VERIFIED, apply_gate
from trainers.evaluation.llm_judge import judge_rows
from trainers.evaluation.measures import reward_margins
from trainers.evaluation.measuring import Measured, MeasuringPlan, measure_stage
from trainers.evaluation.model import check_comparable
from trainers.evaluation.releases import champions_before
from trainers.evaluation.report import Report, Sample, parents, subject
from trainers.evaluation.report_page import report_page
from trainers.evaluation.results import ItemScore, Results
from trainers.evaluation.tracked_tables import write_tables
from trainers.runner.stage import StageContext, StageResult
from trainers.training.model_facts import facts_of

_MOST_EVIDENCE = 100


def run(context: StageContext) -> StageResult:
    """Measure every stage's model, apply the gate, write the report."""
    section: EvaluateSection = context.section
    transformers_logging.disable_progress_bar()
    assets = {str(stage.column): stage.asset for stage in STAGES["evaluate"].models}
    folders = {stage: context.inputs[asset] / "model" for stage, asset in assets.items()}
    tokenizers = check_comparable(folders)
    if "champion" in context.inputs:
        assets["champion"] = "champion"
        folders["champion"] = context.inputs["champion"] / "model"
    plan = MeasuringPlan(
        section=section,
        suites=_suites(context, section),
        benchmarks=context.inputs["benchmarks"],
        corpus=context.inputs["corpus"],
        scratch=context.scratch,
        system_prompt=context.manifests["sft_model"].request.section.get("system_prompt"),
    )
    measured = {stage: _measured(context, plan, stage, assets[stage], folder) for stage, folder in folders.items()}
    rows = _rows(plan, measured)
    if section.judge:
        answers = {stage: one.answers for stage, one in measured.items()}
        rows[subject()] += judge_rows(section.judge, subject(), answers, context.scratch)
    results = Results(rows, _groups(plan.suites), context.request.seed)
    evidence = contamination(context.inputs["benchmarks"].rglob("*.jsonl"), context.inputs["corpus"])
    facts = _facts(context, tokenizers)
    report = Report(
        title=f"Evaluation of {context.request.partition}",
        results=results,
        gate=apply_gate(section.gate, results, evidence),
        evidence=evidence,
        samples=_samples(plan, measured),
        losses=_curves(context, "loss"),
        held_out=_curves(context, "evaluation_loss"),
        facts=facts | {f"lm_eval {name}": pin for name, pin in measured[subject()].pins.items()},
    )
    markdown = report.write(context.output)
    questions = {(suite.name, item.id): question_of(item) for suite in plan.suites for item in suite.items}
    earlier = champions_before(context.store, context.manifests.get("champion"))
    links = [where_to_go(context.request, context.manifests, context.reporter.tracking_run)]
    page = report_page(report, questions, context.manifests, earlier, links)
    (context.output / PAGE).write_text(page, encoding="utf-8")
    tables = write_tables(report, questions, context.output)
    for path in (context.output / "report.md", context.output / PAGE, *tables):
        context.reporter.attach(path)
    for result in report.gate:
        (context.reporter.say if result.passed else context.reporter.warn)(f"gate: {result.name}: {result.explanation}")
    if not any(reply.ends for reply in measured[subject()].served):
        context.reporter.warn(
            f"none of the replies of {subject()} ended by itself, beyond doubt; see its chat template"
        )
    figures = report.figures()
    context.reporter.metrics(0, _intervals(figures))
    return StageResult(
        metrics=_metrics(report, figures),
        details=EvaluationDetails(
            suites=figures,
            higher_is_better={suite: results.higher_is_better(suite) for suite in results.suites},
            gate=report.gate,
            champion=context.manifests["champion"].digest if "champion" in folders else None,
            replies=measured[subject()].served,
            markdown=markdown,
            contamination=[Contamination(**row) for row in evidence[:_MOST_EVIDENCE]],
        ),
        timings={name: value for one in measured.values() for name, value in one.speed.items()},
        # The page tells time and cost, which differ from run to run, and the tables repeat the report for the tracker.
        provenance=(PAGE, *(path.name for path in tables)),
    )


def _suites(context: StageContext, section: EvaluateSection) -> list[Suite]:
    benchmarks = read_suites(context.inputs["benchmarks"], section.suites, section.max_items_per_suite)
    held_out = held_out_suites(context.inputs["corpus"], section.max_items_per_suite)
    suites = [part for suite in (*benchmarks, *held_out) for part in by_domain(suite)]
    if not suites:
        raise BadData("there is nothing to evaluate: no benchmark suite and no held-out text")
    context.reporter.say(", ".join(f"{suite.name} ({len(suite.items)})" for suite in suites))
    return suites


def _measured(context: StageContext, plan: MeasuringPlan, stage: str, asset: str, folder: Path) -> Measured:
    """From an earlier attempt where it finished this stage."""
    kept, manifest = context.scratch / f"{stage}.json", context.manifests[asset]
    if not kept.exists():
        measured = measure_stage(plan, stage, folder, facts_of(manifest, folder), context.reporter)
        write_atomically(kept, json.dumps(measured.to_json(), ensure_ascii=False))
    return Measured.from_json(json.loads(kept.read_text(encoding="utf-8")))


def _rows(plan: MeasuringPlan, measured: dict[str, Measured]) -> dict[str, list[ItemScore]]:
    """Rows by stage, the unigram model among them, and the last model's reward margins over its parent."""
    rows = {name: some for one in measured.values() for name, some in sorted(one.rows.items(), reverse=True)}
    pair = subject(), parents()[subject()]
    for suite in plan.suites:
        if suite.format == "preference":
            policy, reference = ([row for row in rows[s] if row.suite == suite.name] for s in pair)
            rows[subject()] += reward_margins(suite.name, policy, reference)
    return rows


def _groups(suites: list[Suite]) -> dict[str, list[str]]:
    instruction = [suite for suite in suites if suite.format == "instruction"]
    verified = [s.name for s in instruction if all(isinstance(i, Instruction) and i.checks for i in s.items)]
    return {
        CORPUS: [suite.name for suite in suites if suite.name.startswith("corpus/")],
        INSTRUCTION: [suite.name for suite in instruction if suite.name not in verified],
        VERIFIED: verified,
        PREFERENCE: [suite.name for suite in suites if suite.format == "preference"],
        "all/multiple_choice": [suite.name for suite in suites if suite.format == "multiple_choice"],
    }


def _samples(plan: MeasuringPlan, measured: dict[str, Measured]) -> list[Sample]:
    """Some of the prompts, with what every stage made of them."""
    if not plan.section.samples:
        return []
    samples = []
    for number, item in spread(list(enumerate(plan.prompts)), plan.section.samples):
        replies = {stage: one.replies[number] for stage, one in measured.items()}
        samples.append(Sample(item.messages[-1]["content"], item.answer, replies))
    return samples


def _curves(context: StageContext, name: str) -> dict[str, list[tuple[int, float]]]:
    curves = {}
    for stage in STAGES["evaluate"].models:
        details = context.manifests[stage.asset].details
        if isinstance(details, TrainingDetails):
            curves[str(stage.column)] = getattr(details, name)
    return curves


def _facts(context: StageContext, tokenizers: dict[str, str]) -> dict[str, Any]:
    inputs = {f"input {item.name}": item.digest for item in context.request.inputs}
    return {
        "model": context.request.model,
        "release": context.request.release,
        "seed": context.request.seed,
        **tokenizers,
        **inputs,
    }


def _intervals(figures: dict[str, dict[str, Interval]]) -> dict[str, float]:
    """Beside each figure's value in the tracker: the ends of its 95% interval, and how many items it has."""
    return {
        f"{stage}/{suite}.{part}": number
        for suite, by_stage in figures.items()
        for stage, figure in by_stage.items()
        for part, number in (("low", figure.low), ("high", figure.high), ("n", float(figure.n)))
    }


def _metrics(report: Report, figures: dict[str, dict[str, Interval]]) -> dict[str, float]:
    metrics = {
        f"{stage}/{suite}": figure.value for suite, by_stage in figures.items() for stage, figure in by_stage.items()
    }
    metrics |= {f"gate/{result.name}": result.value for result in report.gate}
    return metrics | {"gate_passed": float(report.passed)}
