"""The LLM judge against real HTTP servers: a fair one, one that favours a place, one that is broken."""

from contextlib import ExitStack

import pytest

from tests.support.judge_server import fair, judging
from trainers.contract import ServiceMissing
from trainers.contract.recipe.evaluation import JudgeSettings
from trainers.evaluation.judge_questions import QUESTIONS
from trainers.evaluation.llm_judge import judge_rows

ANSWERS = {"rlhf": ["길고 자세한 답입니다."] * len(QUESTIONS), "sft": ["답"] * len(QUESTIONS)}


@pytest.fixture
def judge_server():
    """Starts a judge by its rule; gives its settings and what it was asked."""
    with ExitStack() as servers:
        yield lambda rule, **options: servers.enter_context(judging(rule, **options))


def mean(rows, suite):
    values = [row.value for row in rows if row.suite == suite]
    return sum(values) / len(values)


def test_a_fair_judge_agrees_with_itself_and_the_better_side_wins(judge_server, tmp_path, monkeypatch):
    monkeypatch.setenv("KOREAN_LLM_JUDGE_KEY", "secret-1")
    settings, requests = judge_server(fair)
    rows = judge_rows(settings, "rlhf", ANSWERS, tmp_path)
    assert mean(rows, "judge/over_sft") == mean(rows, "judge/agreement_sft") == 1
    assert len(requests) == 2 * len(QUESTIONS)
    assert {key for key, _ in requests} == {"Bearer secret-1"}
    assert requests[0][1]["temperature"] == 0
    assert not any("secret-1" in path.read_text() for path in tmp_path.iterdir())


def test_a_judge_that_favours_a_place_decides_nothing(judge_server, tmp_path):
    settings, _ = judge_server(lambda first, second: "[[A]]")
    rows = judge_rows(settings, "rlhf", ANSWERS, tmp_path)
    assert (mean(rows, "judge/over_sft"), mean(rows, "judge/agreement_sft")) == (0.5, 0)


def test_verdicts_are_kept_between_attempts(judge_server, tmp_path):
    settings, requests = judge_server(fair)
    once = judge_rows(settings, "rlhf", ANSWERS, tmp_path)
    assert judge_rows(settings, "rlhf", ANSWERS, tmp_path) == once
    assert len(requests) == 2 * len(QUESTIONS)


def test_a_judge_without_a_verdict_is_named(judge_server, tmp_path):
    settings, _ = judge_server(lambda first, second: "글쎄요.")
    with pytest.raises(ServiceMissing, match="gave no verdict, but.*글쎄요"):
        judge_rows(settings, "rlhf", ANSWERS, tmp_path)


def test_a_judge_that_is_down_is_named(tmp_path):
    settings = JudgeSettings(url="http://127.0.0.1:9/v1", model="judge")
    with pytest.raises(ServiceMissing, match=r"127\.0\.0\.1:9/v1 does not answer"):
        judge_rows(settings, "rlhf", ANSWERS, tmp_path)


def test_a_judge_that_refuses_is_named_without_its_key(judge_server, tmp_path, monkeypatch):
    monkeypatch.setenv("KOREAN_LLM_JUDGE_KEY", "canary-1")
    settings, _ = judge_server(fair, status=401)
    with pytest.raises(ServiceMissing, match=r"does not answer: HTTP 401$"):
        judge_rows(settings, "rlhf", ANSWERS, tmp_path)


def test_questions_are_many_kinds_each_with_its_id():
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS) >= 12
    assert len({question.kind for question in QUESTIONS}) >= 6
