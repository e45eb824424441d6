"""The label mask over Korean conversations, decoded and looked at."""

import pytest
from transformers import AutoTokenizer

from trainers.base_model import _train_tokenizer, sample_texts
from trainers.contract import BadRequest
from trainers.rendering import marked, render
from trainers.templates import require_generation_marks, template_text

KOREAN = [
    {"role": "system", "content": "너는 친절한 도우미야."},
    {"role": "user", "content": "수도가 어디야?"},
    {"role": "assistant", "content": "서울입니다."},
    {"role": "user", "content": "고마워!"},
    {"role": "assistant", "content": "천만에요. 또 물어보세요 😊"},
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    _train_tokenizer(sample_texts()[:200], 600).save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(template_text("chatml"))
    return AutoTokenizer.from_pretrained(folder)


def test_only_the_assistant_and_its_end_of_turn_are_trained(tokenizer):
    text = marked(render([KOREAN], tokenizer)[0], tokenizer)
    assert text == (
        "<|im_start|>system\n너는 친절한 도우미야.<|im_end|>\n"
        "<|im_start|>user\n수도가 어디야?<|im_end|>\n"
        "<|im_start|>assistant\n⟦서울입니다.<|im_end|>⟧\n"
        "<|im_start|>user\n고마워!<|im_end|>\n"
        "<|im_start|>assistant\n⟦천만에요. 또 물어보세요 😊<|im_end|>⟧\n"
    )


def test_a_system_prompt_goes_first_where_there_is_none(tokenizer):
    with_own, without = render([KOREAN, KOREAN[1:3]], tokenizer, system_prompt="존댓말로 답하세요.")
    assert "존댓말" not in tokenizer.decode(with_own.ids)
    assert tokenizer.decode(without.ids).startswith("<|im_start|>system\n존댓말로 답하세요.<|im_end|>\n")


def test_a_template_without_marks_is_refused():
    with pytest.raises(BadRequest, match="generation"):
        require_generation_marks("{% for m in messages %}{{ m.content }}{% endfor %}", "model")
    with pytest.raises(BadRequest, match="no chat template"):
        require_generation_marks(None, "model")
    with pytest.raises(BadRequest, match="there are: chatml"):
        template_text("vicuna")
