"""The gate: each condition met, missed and unmeasurable, in words with numbers."""

import math
import re

import pytest

from trainers.contract.recipe import GateSection
from trainers.evaluation.gate import apply_gate
from trainers.evaluation.results import ItemScore, Results

GROUPS = {"all/corpus": ["corpus/ko"], "all/instruction": ["ask"], "all/preference": ["prefer"]}
FULL = GateSection(cpt_below_unigram=0.25, sft_over_cpt=0.2, rlhf_preference=0.65, english_bits_per_byte_rise=0.1)


def accuracy(suite, right, n=100):
    return [ItemScore(suite, "accuracy", f"{i:03}", float(i < right)) for i in range(n)]


def bits(suite, per_byte, n=20):
    return [ItemScore(suite, "bits_per_byte", f"{i:03}", per_byte * (100 + i), 100 + i) for i in range(n)]


def results(cpt_bits=2.0, sft_right=60, rlhf_right=80, english=2.1, korean=2.1, champion_right=None, **extra):
    rows = {
        "unigram": bits("corpus/ko", 3.0),
        "base": [*bits("corpus/ko", 5.0), *bits("held/en", 2.0)],
        "cpt": [*bits("corpus/ko", cpt_bits), *bits("held/en", 2.2), *accuracy("ask", 30)],
        "sft": [*accuracy("ask", sft_right), *accuracy("prefer", 60)],
        "rlhf": [
            *(*accuracy("ask", 60), *accuracy("prefer", rlhf_right)),
            *(*bits("held/en", english), *bits("corpus/ko", korean)),
        ],
    }
    if champion_right is not None:
        rows["champion"] = accuracy("ask", champion_right)
    return Results(rows | extra, GROUPS, seed=1)


def verdicts(gate, table, evidence=()):
    return {result.name: result for result in apply_gate(gate, table, evidence)}


def test_a_good_model_passes_everything():
    judged = verdicts(FULL, results())
    assert len(judged) == 7
    assert all(result.passed for result in judged.values())
    assert "33.3% below" in judged["cpt_below_unigram"].explanation


def test_each_shortfall_fails_its_own_condition_and_says_by_how_much():
    cases = {
        "cpt_below_unigram": (results(cpt_bits=2.7), "15.0 points short"),
        "sft_over_cpt": (results(sft_right=45), "5.0 points short"),
        "rlhf_preference": (results(rlhf_right=62), "3.0 points short"),
        "english_bits_per_byte_rise": (results(english=2.5), "15.0 points too much"),
        "text_bits_per_byte_rise": (results(korean=2.4), "Korean (corpus/ko) costs +20.0% bits per byte against CPT"),
    }
    for name, (table, words) in cases.items():
        judged = verdicts(FULL, table)
        assert [result.name for result in judged.values() if not result.passed] == [name]
        assert words in judged[name].explanation


def test_preference_must_be_above_sft_too():
    judged = verdicts(GateSection(rlhf_preference=0.5), results(rlhf_right=60))
    assert not judged["rlhf_preference"].passed
    assert "it is not" in judged["rlhf_preference"].explanation


def test_what_was_not_measured_is_not_met():
    judged = verdicts(FULL, Results({"base": accuracy("other", 1), "rlhf": accuracy("other", 1)}, {}, 1))
    assert [result.passed for result in judged.values()] == [False, False, False, False, False, True, True]
    assert all("could not be measured" in judged[name].explanation for name in list(judged)[:5])
    assert "no held-out Korean or English text" in judged["text_bits_per_byte_rise"].explanation


def test_one_nan_fails():
    bad = [ItemScore("ask", "accuracy", "x", math.nan), *accuracy("ask", 60)]
    judged = verdicts(GateSection(), results(rlhf=bad))
    assert not judged["all_finite"].passed
    assert "rlhf: ask item x" in judged["all_finite"].explanation


def test_only_a_significant_loss_to_the_champion_fails():
    assert verdicts(GateSection(), results(champion_right=62))["not_below_champion/ask"].passed
    lost = verdicts(GateSection(), results(champion_right=80))["not_below_champion/ask"]
    assert not lost.passed
    assert "-0.2000 against the champion" in lost.explanation


def test_absent_limits_are_not_checked():
    unlimited = GateSection(contaminated_items=None, text_bits_per_byte_rise=None)
    assert list(verdicts(unlimited, results())) == ["all_finite"]


def test_what_tuning_costs_is_held_to_a_limit_that_no_recipe_has_to_name():
    judged = verdicts(GateSection(), results(english=2.6))["text_bits_per_byte_rise"]
    assert (judged.passed, judged.threshold) == (False, 0.15)
    assert "English (held/en) costs +18.2%" in judged.explanation, "the language that it costs most"
    assert verdicts(GateSection(), results())["text_bits_per_byte_rise"].passed


def test_contamination_fails_with_its_evidence():
    row = {"item": "choice:c1", "document": "d7", "source": "web", "piece": "나무 바다 하늘 구름 사람 학교"}
    judged = verdicts(GateSection(), results(), [row, {**row, "document": "d8"}])["not_contaminated"]
    assert (judged.passed, judged.value) == (False, 1)
    assert "at most 0 may, 1 too many: choice:c1 in d7 ('나무 바다" in judged.explanation
    assert verdicts(GateSection(contaminated_items=1), results(), [row])["not_contaminated"].passed
    unsearched = {result.name: result for result in apply_gate(GateSection(), results())}["not_contaminated"]
    assert not unsearched.passed and "not searched" in unsearched.explanation


def test_behaviour_is_held_to_the_recipe():
    def rate(name, bad):
        return [ItemScore(f"behaviour/{name}", "rate", f"{i:02}", float(i < bad)) for i in range(20)]

    table = results(rlhf=[*rate("loops", 3), *rate("drifts", 1)])
    judged = verdicts(GateSection(loops=0.1, drifts=0.1, instruction_following=0.5), table)
    assert (judged["loops"].passed, judged["drifts"].passed) == (False, True)
    assert "15.0% of RLHF's 20 replies go in circles" in judged["loops"].explanation
    assert "5.0 points too much" in judged["loops"].explanation
    assert "could not be measured" in judged["instruction_following"].explanation


@pytest.mark.parametrize(
    ("suite", "limit", "passed", "words"),
    [
        ("ask", 0.6, True, "wanted at least 0.6"),
        ("ask", 0.75, False, "0.6000 on 100 items of ask .* wanted at least 0.75: 0.1500 short"),
        ("held/en", 2.0, False, "wanted at most 2: 0.1000 too much"),
        ("refuse", 0.9, False, "could not be measured.*no suite of this name; it has .*ask, .*prefer"),
    ],
)
def test_any_suite_may_have_a_limit_of_the_recipe(suite, limit, passed, words):
    judged = verdicts(GateSection(suites={suite: limit}), results())[f"suite_limit/{suite}"]
    assert judged.passed is passed
    assert re.search(words, judged.explanation)
