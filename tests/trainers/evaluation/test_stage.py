"""The whole evaluate stage on small models of random weights."""

import json
import signal

import pyarrow.parquet
import pytest

from tests.support.judge_server import fair, judging
from tests.support.toy import STORY, TEMPLATE, build_lineage, sample_suites
from trainers.contract import Artifact, BadRequest, EvaluationDetails, replies
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.digests import tree_digest
from trainers.evaluation.judge_questions import QUESTIONS
from trainers.evaluation.measuring import measure_stage
from trainers.runner.stage import run_stage
from trainers.runner.tracking import EXPERIMENT


@pytest.fixture(scope="module")
def lineage(tmp_path_factory):
    return build_lineage(tmp_path_factory.mktemp("lineage") / "artifacts")


@pytest.fixture(scope="module")
def manifest(lineage):
    gate = {"cpt_below_unigram": 0.25, "english_bits_per_byte_rise": 5.0}
    yield run_stage(lineage.evaluate(gate=gate), lineage.store)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_every_stage_is_measured_on_every_suite(manifest):
    details = manifest.details
    assert isinstance(details, EvaluationDetails)
    stages = {"base", "cpt", "sft", "rlhf"}
    assert set(details.suites["choice"]) == set(details.suites["instruct"]) == set(details.suites["held/en"]) == stages
    assert set(details.suites["corpus/ko"]) == {*stages, "unigram"}
    assert set(details.suites["prefer/margin"]) == {"rlhf"}
    assert [reply.question for reply in details.replies] == list(replies.QUESTIONS)
    assert details.suites["choice"]["base"].n == 20
    assert details.suites["all/verified"]["rlhf"].n == 2
    assert details.suites["follow/ends_with"]["rlhf"].value == 0
    assert details.suites["behaviour/drifts"]["rlhf"].n == details.suites["behaviour/loops"]["rlhf"].n == 5


def test_a_random_model_costs_about_the_uniform_code_and_fails_the_unigram_condition(manifest):
    held = manifest.details.suites["corpus/ko"]
    assert held["base"].value > held["unigram"].value
    gate = {result.name: result for result in manifest.details.gate}
    assert not gate["cpt_below_unigram"].passed
    assert gate["all_finite"].passed
    assert manifest.metrics["gate_passed"] == 0.0


def test_the_report_is_whole(lineage, manifest):
    folder = lineage.store.path(Artifact.of(manifest))
    report = json.loads((folder / "report.json").read_text())
    assert report["gate_passed"] is False
    assert {row["against"] for row in report["comparisons"]} == {"base", "cpt", "sft"}
    assert [set(sample["replies"]) for sample in report["samples"]] == [{"base", "cpt", "sft", "rlhf"}] * 2
    page = (folder / "report.html").read_text()
    assert page.count("<svg") >= 10
    assert page.count("<polygon") == 4 + len({"base", "cpt", "sft", "rlhf"}), "a radar: its rings and the stages"
    assert page.count("<polyline") == len({"cpt", "sft", "rlhf"}), "a loss curve for each training"
    columns = "".join(f'<th scope="col">{stage}</th>' for stage in ("base", "cpt", "sft", "rlhf"))
    assert columns in page, "samples side by side"
    assert "http" not in page.replace("http-equiv", "") and " src=" not in page, "self-contained"
    assert manifest.details.markdown == (folder / "report.md").read_text()
    items = pyarrow.parquet.read_table(folder / "items.parquet").to_pylist()
    choice = [row for row in items if row["suite"] == "choice" and row["stage"] == "sft"]
    assert sum(row["value"] for row in choice) / len(choice) == pytest.approx(
        report["suites"]["choice"]["sft"]["value"]
    )


def test_the_same_request_elsewhere_gives_the_same_bytes(lineage, manifest, tmp_path):
    (tmp_path / "artifacts").mkdir()
    for asset in lineage.artifacts:
        (tmp_path / "artifacts" / asset).symlink_to(lineage.store.root / asset)
    again = run_stage(manifest.request, ArtifactStore(tmp_path / "artifacts"))
    assert again.digest == manifest.digest


def test_a_second_attempt_keeps_the_stages_that_were_measured(lineage, monkeypatch):
    request = lineage.evaluate(samples=0)
    measured = []

    def stops_at_sft(plan, stage, *rest):
        measured.append(stage)
        if stage == "sft" and measured.count("sft") == 1:
            raise KeyboardInterrupt
        return measure_stage(plan, stage, *rest)

    monkeypatch.setattr("trainers.evaluation.stage.measure_stage", stops_at_sft)
    with pytest.raises(KeyboardInterrupt):
        run_stage(request, lineage.store)
    run_stage(request, lineage.store)
    assert measured == ["base", "cpt", "sft", "sft", "rlhf"]


def test_a_champion_is_compared_with(lineage):
    champion = lineage.artifacts["rlhf_model"]
    manifest = run_stage(lineage.evaluate(champion=champion), lineage.store)
    against = [result for result in manifest.details.gate if result.name.startswith("not_below_champion/")]
    assert {result.value for result in against} == {0.0}
    assert all(result.passed for result in against)
    assert len(against) >= 5
    assert manifest.details.champion == champion.digest


def test_weights_that_are_nan_and_a_leaked_item_fail_the_gate_and_not_the_stage(tmp_path):
    suites = {**sample_suites(), "leaky": ("text", [{"id": "l0", "text": STORY, "domain": "ko"}])}
    lineage = build_lineage(tmp_path / "artifacts", suites=suites, nan_in_rlhf=True)
    limits = {"suites": {"choice": 0.4}, "instruction_following": 0.5}
    manifest = run_stage(lineage.evaluate(gate=limits), lineage.store)
    gate = {result.name: result for result in manifest.details.gate}
    assert not any(result.passed for result in gate.values())
    assert gate["all_finite"].value > 30
    assert "rlhf: choice" in gate["all_finite"].explanation
    assert "leaky:l0 in train60" in gate["not_contaminated"].explanation
    report = json.loads((lineage.store.path(Artifact.of(manifest)) / "report.json").read_text())
    assert [(row["item"], row["document"]) for row in report["contamination"]] == [("leaky:l0", "train60")]
    assert [row.model_dump() for row in manifest.details.contamination] == report["contamination"]


def test_a_stage_with_another_template_is_refused(tmp_path):
    lineage = build_lineage(tmp_path / "artifacts", template_of_sft=TEMPLATE.replace("assistant\n", "assistant: "))
    with pytest.raises(BadRequest, match="chat template of sft"):
        run_stage(lineage.evaluate(), lineage.store)


def test_a_vocabulary_that_cpt_expanded_is_compared_with_the_base_by_bytes(tmp_path):
    story = ("text", [{"id": "s0", "text": STORY, "domain": "ko"}])
    lineage = build_lineage(tmp_path / "artifacts", suites={**sample_suites(), "story": story}, new_tokens=60)
    manifest = run_stage(lineage.evaluate(), lineage.store)
    figures = manifest.details.suites["story/ko"]
    for stage in ("cpt", "sft", "rlhf"):  # of random weights each token costs about the same
        assert figures[stage].value < 0.8 * figures["base"].value, "fewer tokens for the same bytes"
    facts = json.loads((lineage.store.path(Artifact.of(manifest)) / "report.json").read_text())["facts"]
    assert facts["tokenizer from cpt on"] != facts["tokenizer"]


def test_a_judge_named_in_the_recipe_compares_and_is_in_the_report(lineage):
    with judging(fair) as (settings, requests):
        manifest = run_stage(lineage.evaluate(judge=settings.model_dump(exclude_defaults=True)), lineage.store)
    figures = manifest.details.suites
    assert figures["judge/over_sft"]["rlhf"].n == len(QUESTIONS)
    assert figures["judge/agreement_sft"]["rlhf"].value == 1
    assert "judge/over_champion" not in figures, "there is no champion yet"
    assert len(requests) == 2 * len(QUESTIONS)


@pytest.mark.slow
def test_mlflow_has_the_reports_figures_with_their_intervals(lineage, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)  # where MLflow keeps the files of runs, without a server
    manifest = run_stage(lineage.evaluate(samples=1), lineage.store)
    client = MlflowClient(uri)
    experiments = [client.get_experiment_by_name(EXPERIMENT).experiment_id]
    (run,) = client.search_runs(experiments, f"tags.request_digest = '{manifest.request.digest}'")
    report = json.loads((lineage.store.path(Artifact.of(manifest)) / "report.json").read_text())
    parts = {"value": "", "low": ".low", "high": ".high", "n": ".n"}
    figures = {
        f"{stage}/{suite}{suffix}": figure[part]
        for suite, by_stage in report["suites"].items()
        for stage, figure in by_stage.items()
        for part, suffix in parts.items()
    }
    assert len(figures) > 200
    assert {name: run.data.metrics.get(name) for name in figures} == figures
    table = {(row["suite"], row["model"]): row["value"] for row in _table(client, run, "figures")}
    assert table == pytest.approx(
        {(suite, stage): f["value"] for suite, by in report["suites"].items() for stage, f in by.items()}
    )
    items = _table(client, run, "items")
    assert {row["suite"] for row in items} >= {flip["suite"] for flip in report["flips"]}
    assert any(row["question"] for row in items)


def _table(client, run, name):
    """As MLflow itself reads it."""
    rows = client.load_table(run.info.experiment_id, f"{name}.table.json", run_ids=[run.info.run_id])
    return rows.to_dict("records")


@pytest.mark.slow
def test_lm_eval_tasks_of_the_release_are_measured_offline_and_pinned(tmp_path):
    lineage = build_lineage(tmp_path / "artifacts", lm_eval_task="toy_task")
    pin = f"landed@{tree_digest(next(lineage.store.root.glob('benchmarks/*/*/lm_eval')))[:16]}"
    manifest = run_stage(lineage.evaluate(lm_eval={"toy_task": pin}), lineage.store)
    figures = manifest.details.suites
    assert figures["lm_eval/toy_task/acc_norm"]["rlhf"].value == figures["choice"]["rlhf"].value
    report = json.loads((lineage.store.path(Artifact.of(manifest)) / "report.json").read_text())
    assert report["facts"]["lm_eval toy_task"] == pin
