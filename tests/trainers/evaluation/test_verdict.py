"""The first screen: did it get better, what became worse, is it safe to promote, what should be done now."""

import pytest

from tests.support.hostile import read_page
from tests.trainers.evaluation.test_gate import FULL, accuracy, bits, results
from trainers.contract import CorpusDetails, GpuSeconds, Manifest, StageRequest
from trainers.evaluation import verdict
from trainers.evaluation.gate import apply_gate
from trainers.evaluation.report import Report
from trainers.evaluation.report_page import report_page
from trainers.evaluation.results import ItemScore, Results


def page_of(table: Results, manifests=None):
    report = Report("Evaluation of m|r", table, apply_gate(FULL, table, []), [], {}, {"model": "m"})
    return read_page(report_page(report, {}, manifests))


def test_better_than_the_champion_is_said_in_one_sentence():
    table = results(rlhf_right=95, champion_right=20)
    text = page_of(table).text
    assert "Better than the champion: of 1 suites 1 better, 0 worse, 0 too close to tell (95%). Gate passed." in text
    assert "챔피언보다 나음: 평가 1개 중 나음 1, 못함 0" in text
    assert "Next: nothing, or approve it where the recipe asks" in text


def test_without_a_champion_the_base_is_what_it_must_beat():
    assert "than the base model" in page_of(results()).text


def test_what_fell_beyond_its_interval_is_named_whatever_the_gate_asks():
    table = results(sft_right=90)  # RLHF has 60 of 100 right, SFT 90
    gate = apply_gate(FULL.model_copy(update={"sft_over_cpt": 0.2}), table, [])
    assert all(result.passed for result in gate)
    text = page_of(table).text
    assert "ask: rlhf is worse than sft: 90.0% → 60.0% (-30.0 points, 95%:" in text
    assert "Gate passed." in text


def test_a_failed_gate_comes_first_and_says_what_to_do():
    read = page_of(results(cpt_bits=2.7))
    assert "Gate FAILED: 1 of 7 conditions." in read.text
    assert "Next: mend what the conditions below name" in read.text
    lines = verdict.conditions(apply_gate(FULL, results(cpt_bits=2.7), []))
    assert lines[0].tone == "bad" and "NOT MET: cpt_below_unigram" in str(lines[0].text)


@pytest.mark.parametrize(("now", "way"), ((95, "better"), (62, "open"), (20, "worse")))
def test_a_change_is_told_only_beyond_its_interval(now, way):
    table = Results({"base": accuracy("ask", 60), "rlhf": accuracy("ask", now)}, {}, 1)
    assert verdict.change(table, "ask", "rlhf", "base").way == way


def test_fewer_bits_per_byte_are_better():
    table = Results({"base": bits("t/ko", 3.0), "rlhf": bits("t/ko", 2.0)}, {}, 1)
    assert verdict.change(table, "t/ko", "rlhf", "base").way == "better"


def test_a_figure_that_guessing_reaches_is_said_to_be_that():
    guesses = [ItemScore("pick", "accuracy", f"{n}", float(n % 4 == 0), chance=0.25) for n in range(100)]
    table = Results({"base": guesses, "rlhf": guesses}, {"all/multiple_choice": ["pick"]}, 1)
    name, base = page_of(table).rows[1][:2]
    assert name == "multiple choice객관식" and base.startswith("25.0%, no better than chance25.0%, 찍은")


def test_what_it_took_and_what_data_made_it_stand_on_the_page():
    details = CorpusDetails(
        **dict.fromkeys(("train_documents", "validation_documents", "characters", "words"), 1),
        read=1200,
        kept=1000,
        bytes=5_000_000,
        excluded={"duplicate": 150, "short": 50},
    )
    manifest = Manifest(
        request=StageRequest(stage="corpus", stage_version=1, release="r7"),
        request_digest="0" * 64,
        files=(),
        metrics={},
        details=details,
        timings={"seconds": 120.0},
        gpu_seconds=GpuSeconds(asked=7200.0, used=7200.0, lost=0.0),
    )
    rows = page_of(results(), {"corpus": manifest}).rows
    assert ["corpus", "2.0", "2.00", "0"] in rows
    assert ["documents read읽은 문서", "1,200"] in rows and ["left out: duplicate제외: duplicate", "150"] in rows
    assert any(row[0] == "release릴리스" and row[1].startswith("r7 (corpus ") for row in rows)
