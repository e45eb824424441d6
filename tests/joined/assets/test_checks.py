"""The gate's conditions as asset checks: each that the report can fail blocks, in its own check, with its numbers."""

import math

from dagster import AssetCheckSeverity

from korean_llm_assets.assets.checks import GATES, OVERALL, gate_results, gate_specs, why_not
from trainers.contract import EvaluationDetails, Manifest, StageRequest
from trainers.contract.recipe import GateSection
from trainers.evaluation.gate import apply_gate
from trainers.evaluation.results import ItemScore, Results

LIMITS = GateSection(
    cpt_below_unigram=0.2, sft_over_cpt=0.2, rlhf_preference=0.6, english_bits_per_byte_rise=0.1,
    instruction_following=0.9, loops=0.1, drifts=0.1, suites={"quiz": 0.9},
)  # fmt: skip


def everything_wrong():
    """A model below its champion, with a NaN, an item in the corpus, and nothing else measured."""

    def right(count):
        return [ItemScore("quiz", "accuracy", f"{n}", float(n < count)) for n in range(40)]

    results = Results(
        {"rlhf": [*right(4), ItemScore("quiz", "accuracy", "x", math.nan)], "champion": right(36)}, {}, seed=1
    )
    evidence = [{"item": "quiz:3", "document": "d1", "source": "web", "piece": "가을 저녁이면"}]
    return EvaluationDetails(suites={}, gate=apply_gate(LIMITS, results, evidence))


def test_every_condition_fails_its_own_check_and_is_told_in_every_later_run():
    details = everything_wrong()
    request = StageRequest(stage="evaluate", stage_version=1, model="toy", release="r1")
    report = Manifest(request=request, request_digest=request.digest, files=(), metrics={}, details=details)
    assert {row.name.split("/")[0] for row in details.gate} == set(GATES)
    checks = {check.check_name: check for check in gate_results(report)}
    assert {spec.name for spec in gate_specs("eval_report")} == set(checks) == {*GATES, OVERALL}
    assert [spec.name for spec in gate_specs("eval_report") if spec.blocking] == [OVERALL]
    assert not any(check.passed for check in checks.values())
    assert {check.severity for check in checks.values()} == {AssetCheckSeverity.ERROR}
    for row in details.gate:
        assert row.explanation in checks[row.name.split("/")[0]].description
        assert row.explanation in why_not(details), "what deployed_model says when it refuses"
    assert checks["suite_limit"].metadata["quiz value"].value == next(
        row.value for row in details.gate if row.name == "suite_limit/quiz"
    )
    description = checks[OVERALL].description
    for words in ("quiz:3 in d1", "1 too many", "1 results are NaN", "0.8000 short", "-0.8000 against the champion"):
        assert words in description
