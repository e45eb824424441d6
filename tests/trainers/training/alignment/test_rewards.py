"""Verifiable rewards on answers, good ones and bad ones; what they know of Korean: text/test_korean.py."""

import pytest

from tests.support.plugins import FOLDER
from trainers.contract import BadRequest
from trainers.contract.recipe.alignment import REWARDS, SamplingSettings
from trainers.training.alignment.rewards import (
    REWARD_RULES,
    arithmetic,
    in_band,
    reward_functions,
    well_formed,
)


@pytest.mark.parametrize(
    ("text", "value"),
    (
        ("네, 좋습니다.", 1),
        ("네, 좋습니다", 0),
        ("(열기만 함.", 0),
        ("<|im_end|>.", 0),
        (" ", 0),
        ("정말요?", 1),
        ("(네) 좋아요 :)", 1),
        ("좋아요).", 0),
    ),
)
def test_well_formed(text, value):
    assert well_formed(text) == value


@pytest.mark.parametrize(("length", "value"), ((0, 0), (5, 0.5), (10, 1), (20, 1), (30, 0.5), (80, 0)))
def test_in_band(length, value):
    assert in_band("가" * length, (10, 20)) == value


@pytest.mark.parametrize(
    ("question", "answer", "value"),
    (
        ("3 더하기 4는?", "3 더하기 4는 7입니다.", 1),
        ("3 더하기 4는?", "8입니다.", 0),
        ("100 빼기 1", "답은 99", 1),
        ("12×12는 얼마예요?", "1,44가 아니라 144입니다", 1),
        ("수도가 어디예요?", "서울입니다 7", None),
        ("2 더하기 2는?", "모릅니다.", 0),
    ),
)
def test_arithmetic(question, answer, value):
    assert arithmetic(question, answer) == value


def test_the_recipe_and_the_code_know_the_same_rewards():
    assert set(REWARD_RULES) == set(REWARDS)


def test_a_reward_of_a_plugin_beside_ours(monkeypatch):
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(FOLDER))
    settings = SamplingSettings(rewards=("language", "korean_extras.rewards:short_words"))
    _, plugin = reward_functions(settings)
    assert plugin.__name__ == "short_words"
    turns = [[{"role": "assistant", "content": "네 그렇습니다"}]]
    assert plugin(prompts=turns, completions=turns) == [0.5]
    with pytest.raises(BadRequest, match=r"rlhf\.sampling\.rewards .*no such function; it has: short_words"):
        reward_functions(SamplingSettings(rewards=("korean_extras.rewards:long_words",)))


def test_functions_as_trl_calls_them():
    settings = SamplingSettings(rewards=("language", "arithmetic", "forbidden_words"), forbidden_words=("바보",))
    functions = reward_functions(settings)
    assert [function.__name__ for function in functions] == ["language", "arithmetic", "forbidden_words"]
    prompts = [[{"role": "user", "content": "1 더하기 1은?"}]] * 2
    answers = [[{"role": "assistant", "content": text}] for text in ("2입니다.", "바보 3")]
    assert [function(prompts=prompts, completions=answers) for function in functions] == [[1, 1], [1, 0], [1, 0]]
