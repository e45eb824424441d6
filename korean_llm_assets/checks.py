"""The gate as Dagster asset checks: a model that learned nothing, or forgot, stops here."""

from collections.abc import Iterator

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec

from trainers.contract import EvaluationDetails, Manifest

GATES = {
    "cpt_below_unigram": "continued pre-training predicts held-out Korean better than a unigram model does",
    "sft_over_cpt": "fine-tuning answers held-out instructions better than continued pre-training alone",
    "rlhf_preference": "preference training prefers held-out chosen answers, and more than fine-tuning does",
    "english_bits_per_byte_rise": "English was not forgotten",
    "all_finite": "every figure of the report is a number",
    "not_below_champion": "no suite is significantly below the deployed model's",
}
"""Conditions by name; a condition that is asked suite by suite is named `condition/suite` in the report."""
OVERALL = "gate"


def gate_specs(asset: str) -> list[AssetCheckSpec]:
    """One blocking check per condition of the gate, and one over all of them."""
    described = {**GATES, OVERALL: "every condition of the recipe's gate holds"}
    return [AssetCheckSpec(name=name, asset=asset, description=text, blocking=True) for name, text in described.items()]


def gate_details(report: Manifest) -> EvaluationDetails:
    """The evaluation's part of a report's manifest."""
    assert isinstance(report.details, EvaluationDetails), f"a report has evaluation details, not {report.details.kind}"
    return report.details


def gate_results(report: Manifest) -> Iterator[AssetCheckResult]:
    """The checks' results from the report; a condition that the recipe does not set cannot fail, and says so."""
    details = gate_details(report)
    for name in GATES:
        rows = [row for row in details.gate if row.name.split("/")[0] == name]
        yield AssetCheckResult(
            check_name=name,
            passed=all(row.passed for row in rows),
            severity=AssetCheckSeverity.ERROR,
            description="; ".join(row.explanation for row in rows) or "the recipe's gate does not ask for this",
            metadata={row.name: f"{row.value:.4g}, wanted {row.threshold:.4g}" for row in rows},
        )
    yield AssetCheckResult(
        check_name=OVERALL,
        passed=details.gate_passed,
        severity=AssetCheckSeverity.ERROR,
        description=why_not(details) or "every condition holds",
    )


def why_not(details: EvaluationDetails) -> str:
    """The conditions that do not hold, in words; empty where all do."""
    return "; ".join(f"{row.name}: {row.explanation}" for row in details.gate if not row.passed)
