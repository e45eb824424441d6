"""The label mask over Korean conversations, decoded and looked at."""

import copy

import pytest
from transformers import AutoTokenizer

from trainers.contract import BadRequest
from trainers.training.base_model import _train_tokenizer, sample_texts
from trainers.training.data.rendering import marked, render, require_stop_is_trained, with_level, with_system
from trainers.training.templates import require_generation_marks, template_text

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


FAMILIES = {
    "qwen2.5": (
        ["<|im_start|>", "<|im_end|>"],
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n수도가 어디야?<|im_end|>\n<|im_start|>assistant\n⟦서울입니다.<|im_end|>⟧\n"
        "<|im_start|>user\n고마워!<|im_end|>\n<|im_start|>assistant\n⟦천만에요. 또 물어보세요 😊<|im_end|>⟧\n",
    ),
    "llama3": (
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n수도가 어디야?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦서울입니다.<|eot_id|>⟧"
        "<|start_header_id|>user<|end_header_id|>\n\n고마워!<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦천만에요. 또 물어보세요 😊<|eot_id|>⟧",
    ),
    "gemma": (
        ["<bos>", "<start_of_turn>", "<end_of_turn>"],
        "<bos><start_of_turn>user\n수도가 어디야?<end_of_turn>\n<start_of_turn>model\n⟦서울입니다.<end_of_turn>⟧\n"
        "<start_of_turn>user\n고마워!<end_of_turn>\n<start_of_turn>model\n⟦천만에요. 또 물어보세요 😊<end_of_turn>⟧\n",
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_familys_template_marks_the_assistant(tokenizer, family):
    marks, expected = FAMILIES[family]
    own = copy.deepcopy(tokenizer)
    own.add_special_tokens({"additional_special_tokens": marks})
    own.chat_template = template_text(family)
    rendered = render([KOREAN[1:]], own)[0]
    assert marked(rendered, own) == expected
    require_stop_is_trained(rendered, own)


def test_a_system_prompt_goes_first_where_there_is_none(tokenizer):
    with_own, without = render([with_system(talk, "존댓말로 답하세요.") for talk in (KOREAN, KOREAN[1:3])], tokenizer)
    assert "존댓말" not in tokenizer.decode(with_own.ids)
    assert tokenizer.decode(without.ids).startswith("<|im_start|>system\n존댓말로 답하세요.<|im_end|>\n")


LEVELS = {"formal": "하십시오체로 답하세요.", "polite": "해요체로 답하세요."}


@pytest.mark.parametrize(
    ("answers", "named", "line"),
    (
        (["서울입니다."], None, LEVELS["formal"]),
        (["서울이에요.", "그럼요!"], None, LEVELS["polite"]),
        (["서울입니다.", "그럼요!"], None, None),  # no one level
        (["서울입니다.", "그럼요!"], "polite", LEVELS["polite"]),
        (["서울이야."], None, None),  # a level without a line
    ),
)
def test_a_levels_line_ends_the_system_turn(answers, named, line):
    talk = [turn for answer in answers for turn in ({"role": "user", "content": "?"}, assistant(answer))]
    before = [{"role": "system", "content": "친절하게."}, *talk]
    after = with_level(before, named, LEVELS)
    if line is None:
        assert after is before
    else:
        assert after == [{"role": "system", "content": f"친절하게.\n{line}"}, *talk]
        assert with_level(talk, named, LEVELS) == [{"role": "system", "content": line}, *talk]


def assistant(text):
    return {"role": "assistant", "content": text}


def test_a_template_without_marks_is_refused():
    with pytest.raises(BadRequest, match="generation"):
        require_generation_marks("{% for m in messages %}{{ m.content }}{% endfor %}", "model")
    with pytest.raises(BadRequest, match="no chat template"):
        require_generation_marks(None, "model")
    with pytest.raises(BadRequest, match="there are: chatml, gemma, llama3, qwen2.5"):
        template_text("vicuna")
