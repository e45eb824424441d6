"""The replies that a server is held to: plain greedy ones, sure where the model was sure, within its positions."""

import pytest

from tests.support.toy import build_model, teach
from trainers.contract.replies import QUESTIONS
from trainers.evaluation.model import ModelUnderTest
from trainers.evaluation.served_replies import greedy_replies


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    return teach(build_model(tmp_path_factory.mktemp("taught") / "model", seed=1))


def test_they_are_what_plain_greedy_decoding_gives(taught):
    model = ModelUnderTest(taught, 256, 2048, system_prompt="짧게 답하세요.")
    replies = greedy_replies(model)
    assert [reply.question for reply in replies] == list(QUESTIONS)
    assert all(reply.messages[0] == {"role": "system", "content": "짧게 답하세요."} for reply in replies)
    plain = model.generate([reply.messages for reply in replies], replies[0].limit)
    assert [reply.text for reply in replies] == [text.rstrip("�") for text in plain]
    assert any(reply.ends for reply in replies), "what was taught ends with its end of turn"
    assert all(reply.contradiction(text, ended=True) == "" for reply, text in zip(replies, plain, strict=True))


def test_a_reply_is_certain_up_to_the_first_token_that_has_a_rival(taught):
    """Small logits have small margins: the same tokens are chosen, and all of them in doubt."""
    model = ModelUnderTest(taught, 256, 2048)
    sure = greedy_replies(model)
    model.weights.lm_head.register_forward_hook(lambda module, given, logits: logits * 1e-4)
    unsure = greedy_replies(model)
    assert [reply.text for reply in unsure] == [reply.text for reply in sure], "the order of tokens is the same"
    assert any(reply.certain == len(reply.text) for reply in sure)
    assert [(reply.certain, reply.ends) for reply in unsure] == [(0, False)] * len(unsure)


def test_a_question_that_leaves_no_position_is_not_asked(tmp_path):
    short = build_model(tmp_path / "short", seed=1, positions=96)
    replies = greedy_replies(ModelUnderTest(short, 64, 512))
    assert 0 < len(replies) < len(QUESTIONS)
    assert min(reply.limit for reply in replies) < 64
