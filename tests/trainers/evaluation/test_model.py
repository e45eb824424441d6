"""A model under test: texts become the token sequences they should, replies are those of one-by-one generation."""

import pytest
import torch

from tests.support.toy import TEMPLATE, build_model, sentences
from trainers.contract import BadData, BadRequest
from trainers.evaluation.likelihood import Continuation
from trainers.evaluation.model import ModelUnderTest, check_same_tokenizer


@pytest.fixture(scope="module")
def model(model_folder):
    return ModelUnderTest(model_folder, max_length=64, batch_tokens=512)


def test_a_continuation_is_tokenised_with_its_context(model):
    continuation = model.continuation("나무 바다", " 하늘")
    assert model.tokenizer.decode(continuation.context) == "나무 바다"
    assert model.tokenizer.decode(continuation.tokens) == " 하늘"
    assert continuation.context + continuation.tokens == tuple(model.tokenizer("나무 바다 하늘")["input_ids"])


def test_a_continuation_of_nothing_follows_the_end_mark(model):
    assert model.continuation("", "하늘").context == (model.tokenizer.eos_token_id,)


def test_a_reply_includes_the_end_of_the_turn(model):
    continuation = model.reply([{"role": "user", "content": "나무?"}], [{"role": "assistant", "content": "바다"}])
    assert model.tokenizer.decode(continuation.context) == "<|im_start|>user\n나무?<|im_end|>\n<|im_start|>assistant\n"
    assert model.tokenizer.decode(continuation.tokens) == "바다<|im_end|>"


def test_every_token_of_a_text_is_predicted_once(model):
    text = " ".join(sentences(30, seed=9))
    ids = model.tokenizer(text)["input_ids"]
    windows = model.window_requests(text)
    assert len(windows) > 3
    assert [token for window in windows for token in window.tokens] == ids
    assert all(len(window.context) + len(window.tokens) <= 65 for window in windows)
    assert model.scorer.score([windows]) and model.scorer.truncated == 0


def test_batched_replies_are_those_of_one_by_one(model):
    talks = [[{"role": "user", "content": text}] for text in ["나무", "바다 하늘 구름 사람", "학교 음식"]]
    together = model.generate(talks, 6)
    assert together == [model.generate([talk], 6)[0] for talk in talks]
    assert any(together)


def test_bits_per_byte_of_a_uniform_model(model_folder, tmp_path):
    folder = build_model(tmp_path / "uniform", seed=1)
    model = ModelUnderTest(folder, 64, 512)
    model.scorer._head.weight.data.zero_()
    assert model.scorer.score([[Continuation((1,), (2, 3))]])[0] == pytest.approx(
        [-2 * torch.tensor(float(len(model.tokenizer))).log().item()], abs=1e-4
    )


def test_another_template_is_refused_and_both_are_named(model_folder, tmp_path):
    other = build_model(tmp_path / "other", seed=1)
    assert len(check_same_tokenizer({"base": model_folder, "sft": other})) == 2
    (other / "chat_template.jinja").write_text(TEMPLATE + " ")
    with pytest.raises(BadRequest, match=r"chat template of sft .* is not that of base") as error:
        check_same_tokenizer({"base": model_folder, "sft": other})
    assert str(other) in str(error.value) and str(model_folder) in str(error.value)


def test_no_template_is_said(tmp_path):
    folder = build_model(tmp_path / "plain", seed=1)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(BadData, match="no chat template"):
        ModelUnderTest(folder, 64, 512)
