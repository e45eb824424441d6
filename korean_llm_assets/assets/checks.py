"""The gate as Dagster asset checks: a model that learned nothing, or forgot, stops here."""

import warnings
from collections.abc import Iterator, Sequence

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec

from korean_llm_assets.partitions.keys import cells
from korean_llm_assets.serving.approvals import Approval
from trainers.contract import EvaluationDetails, GateResult, Manifest

GATES = {
    "cpt_below_unigram": "continued pre-training predicts held-out Korean better than a unigram model does",
    "sft_over_cpt": "fine-tuning answers held-out instructions better than continued pre-training alone",
    "rlhf_preference": "preference training prefers held-out chosen answers, and more than fine-tuning does",
    "instruction_following": "instructions that a program can check are followed",
    "loops": "replies do not go in circles",
    "drifts": "replies to Korean are Korean",
    "suite_limit": "every suite that the recipe gives a limit is within it: safety, form, knowledge",
    "not_contaminated": "no benchmark item lies in the training corpus",
    "english_bits_per_byte_rise": "English was not forgotten",
    "text_bits_per_byte_rise": "fine-tuning and preference training kept what continued pre-training knew of language",
    "all_finite": "every figure of the report is a number",
    "not_below_champion": "no suite is significantly below the deployed model's",
}
"""Conditions by name; a condition that is asked suite by suite is named `condition/suite` in the report."""
OVERALL = "gate"


def gate_specs(asset: str) -> list[AssetCheckSpec]:
    """A check per condition of the gate, and one over all of them, which blocks. Each cell has a status of its own."""
    described = {**GATES, OVERALL: "every condition of the recipe's gate holds"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dagster calls partitioned checks a preview at every start
        return [
            AssetCheckSpec(name=name, asset=asset, description=text, blocking=name == OVERALL, partitions_def=cells)
            for name, text in described.items()
        ]


def gate_details(report: Manifest) -> EvaluationDetails:
    """The evaluation's part of a report's manifest."""
    assert isinstance(report.details, EvaluationDetails), f"a report has evaluation details, not {report.details.kind}"
    return report.details


def gate_results(report: Manifest, approval: Approval | None = None) -> Iterator[AssetCheckResult]:
    """The checks' results from the report; a condition that the recipe does not set has none.

    With an approval, what failed stays failed in the UI, but warns and no longer blocks.
    """
    details = gate_details(report)
    severity = AssetCheckSeverity.WARN if approval else AssetCheckSeverity.ERROR
    overridden = f" ({approval.in_words})" if approval else ""
    for name in GATES:
        rows = [row for row in details.gate if row.name.split("/")[0] == name]
        failed = [row for row in rows if not row.passed]
        if rows:
            yield AssetCheckResult(
                check_name=name,
                passed=not failed,
                severity=severity,
                description="; ".join(row.explanation for row in failed or rows) + (overridden if failed else ""),
                metadata=_figures(rows),
            )
    yield AssetCheckResult(
        check_name=OVERALL,
        passed=details.gate_passed,
        severity=severity,
        description="every condition holds" if details.gate_passed else why_not(details) + overridden,
        metadata={"conditions that hold": sum(row.passed for row in details.gate), "conditions": len(details.gate)},
    )


def _figures(rows: Sequence[GateResult]) -> dict[str, float]:
    """Each condition's figure and what it is held against, as numbers, which Dagster plots over time."""
    return {
        f"{name} {what}".strip(): figure
        for row in rows
        for name in ["/".join(row.name.split("/")[1:])]
        for what, figure in (("value", row.value), ("wanted", row.threshold))
    }


def why_not(details: EvaluationDetails) -> str:
    """The conditions that do not hold, in words; empty where all do."""
    return "; ".join(f"{row.name}: {row.explanation}" for row in details.gate if not row.passed)
