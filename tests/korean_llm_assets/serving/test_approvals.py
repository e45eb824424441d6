"""Approvals: of one report, by a named person, with a reason; in the checks they warn instead of block."""

import pytest
from dagster import AssetCheckSeverity

from korean_llm_assets.__main__ import main
from korean_llm_assets.assets.checks import gate_results
from korean_llm_assets.serving.approvals import approval_of, approve
from trainers.contract import BadRequest, EvaluationDetails, GateResult, Manifest, StageRequest
from trainers.contract.artifacts import ArtifactStore

WHY = "wanted for the demonstration on Friday"


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path)


@pytest.fixture
def report(store):
    request = StageRequest(stage="evaluate", stage_version=1, model="toy", release="r1")
    gate = [
        GateResult(name="all_finite", passed=True, value=0, threshold=0, explanation="finite"),
        GateResult(name="sft_over_cpt", passed=False, value=0.1, threshold=0.2, explanation="10.0 points short"),
    ]
    details = EvaluationDetails(suites={}, gate=gate)
    store.folder(request).mkdir(parents=True)
    return Manifest(request=request, request_digest=request.digest, files=(), metrics={}, details=details)


def test_an_approval_is_kept_beside_the_report(store, report):
    assert approval_of(store, report) is None
    made = approve(store, report, "김하나", WHY)
    assert approval_of(store, report) == made
    assert store.beside(report.request).approval.parent == store.folder(report.request).parent
    assert "김하나" in made.in_words and WHY in made.in_words


def test_an_approval_of_another_report_does_not_count(store, report):
    approve(store, report, "김하나", WHY)
    other = report.model_copy(update={"metrics": {"figure": 1.0}})
    with pytest.raises(BadRequest, match="approves report"):
        approval_of(store, other)


@pytest.mark.parametrize(("who", "why"), [("", WHY), ("김하나", "ok")])
def test_a_name_and_a_reason_are_needed(store, report, who, why):
    with pytest.raises(BadRequest, match="a name and a reason"):
        approve(store, report, who, why)


def test_only_who_is_on_the_list_may_approve_and_a_file_of_somebody_else_does_not_count(store, report, monkeypatch):
    approve(store, report, "김하나", WHY)
    monkeypatch.setenv("KOREAN_LLM_APPROVERS", "이두리, 박세찬")
    for refused in (lambda: approve(store, report, "김하나", WHY), lambda: approval_of(store, report)):
        with pytest.raises(BadRequest, match="김하나 may not answer .*이두리, 박세찬 may"):
            refused()
    approve(store, report, "이두리", WHY)
    assert approval_of(store, report).who == "이두리"


def test_a_rollback_asks_for_somebody_on_the_list(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KOREAN_LLM_HOME", str(tmp_path))
    monkeypatch.setenv("KOREAN_LLM_APPROVERS", "이두리")
    assert main(["rollback", "--model", "tiny"]) == 64
    assert "nobody may not answer" in capsys.readouterr().err


def test_a_file_that_is_no_approval_is_named(store, report):
    store.beside(report.request).approval.write_text("{}")
    with pytest.raises(BadRequest, match=r"approval\.json is no approval"):
        approval_of(store, report)


def test_what_failed_stays_failed_and_warns(store, report):
    before = {check.check_name: check for check in gate_results(report)}
    after = {check.check_name: check for check in gate_results(report, approve(store, report, "김하나", WHY))}
    for name in ("sft_over_cpt", "gate"):
        assert (before[name].passed, before[name].severity) == (False, AssetCheckSeverity.ERROR)
        assert (after[name].passed, after[name].severity) == (False, AssetCheckSeverity.WARN)
        assert "김하나" in after[name].description
    assert "김하나" not in after["all_finite"].description
