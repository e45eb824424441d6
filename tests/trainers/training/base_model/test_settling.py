"""Facts about tokens that a model's files leave open, contradict or hide: settled, said in words, or refused."""

import json

import pytest
from transformers import AutoTokenizer, Qwen3Config

from tests.support.toy import build_model
from trainers.contract import BadRequest, ModelFacts
from trainers.training.model_facts import context_length, facts_in, settle


@pytest.fixture
def folder(tmp_path):
    """eos and end of turn are one token, pad another; nothing is left to settle."""
    return build_model(tmp_path / "model", seed=1)


def change(folder, name, **values):
    path = folder / name
    content = json.loads(path.read_text()) if path.is_file() else {}
    kept = {key: value for key, value in {**content, **values}.items() if value is not None}
    path.write_text(json.dumps(kept))


def settled(folder) -> tuple[ModelFacts, list[str]]:
    messages: list[str] = []
    return settle(folder, messages.append), messages


def read(folder, name):
    return json.loads((folder / name).read_text())


def test_what_is_settled_stays_as_it_is(folder):
    facts, messages = settled(folder)
    assert (facts.pad, facts.eos, facts.end_of_turn, facts.stop, facts.begin) == (0, 2, 2, (2,), 2)
    assert messages == [] and facts.context_length == 256
    assert settled(folder) == (facts, []) == (facts_in(folder), [])


def test_the_end_of_turn_is_a_stop_in_both_files(folder):
    change(folder, "tokenizer_config.json", eos_token="<|endoftext|>", pad_token="<|im_start|>")
    change(folder, "config.json", eos_token_id=0)
    change(folder, "generation_config.json", eos_token_id=0)
    facts, messages = settled(folder)
    assert (facts.eos, facts.end_of_turn, facts.stop) == (0, 2, (2, 0))
    assert "a reply ends with '<|im_end|>' from now on" in messages
    assert (
        read(folder, "config.json")["eos_token_id"] == read(folder, "generation_config.json")["eos_token_id"] == [2, 0]
    )


@pytest.mark.parametrize("pad", [None, "<|im_end|>"], ids=["none", "a label"])
def test_pad_is_a_token_that_no_label_uses(folder, pad):
    change(folder, "tokenizer_config.json", pad_token=pad)
    facts, messages = settled(folder)
    assert facts.pad == read(folder, "config.json")["pad_token_id"] == 0
    assert any("'<|endoftext|>' it is" in line for line in messages)
    assert AutoTokenizer.from_pretrained(folder).pad_token_id == facts.pad


def test_pad_is_a_new_token_in_a_row_that_the_model_has_to_spare(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    change(folder, "config.json", vocab_size=len(tokenizer) + 4)
    change(folder, "tokenizer_config.json", pad_token=None)
    facts, _ = settled(folder)
    assert facts.pad == len(tokenizer)
    assert AutoTokenizer.from_pretrained(folder)("<|pad|>")["input_ids"] == [facts.pad]


def test_a_tokenizer_and_a_config_that_end_texts_differently(folder):
    change(folder, "tokenizer_config.json", eos_token="<|im_start|>", pad_token="<|endoftext|>")
    facts, messages = settled(folder)
    assert facts.eos == 2 and "the tokenizer ends a text with '<|im_start|>', config.json '<|im_end|>'" in messages[0]
    change(folder, "config.json", eos_token_id=300)
    change(folder, "generation_config.json", eos_token_id=300)
    with pytest.raises(BadRequest, match=r"ends a text with token \[300\], the tokenizer with '<\|im_end\|>'"):
        settle(folder, print)


@pytest.mark.parametrize(
    ("invalid", "kept"),
    [
        ({"do_sample": False, "temperature": 0.9, "top_p": 0.6}, {"do_sample": True, "temperature": 0.9, "top_p": 0.6}),
        ({"temperature": 0.0, "do_sample": True, "repetition_penalty": 1.1}, {"repetition_penalty": 1.1}),
        ({"max_new_tokens": -1, "do_sample": True}, {}),
    ],
    ids=["vicuna", "zero", "negative"],
)
def test_generation_settings_that_nobody_could_save_are_mended_and_said(folder, invalid, kept):
    change(folder, "generation_config.json", **invalid)
    facts, messages = settled(folder)
    mended = read(folder, "generation_config.json")
    assert {name: mended[name] for name in {*invalid, *kept} & mended.keys()} == kept
    assert "generation_config.json is invalid" in messages[0] and facts.stop == (2,)


def test_a_chat_begins_as_the_tokenizer_begins_a_text(folder):
    content = read(folder, "tokenizer.json")
    begin = {"id": "<|endoftext|>", "type_id": 0}
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": begin}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [
            {"SpecialToken": begin},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))
    change(folder, "tokenizer_config.json", bos_token="<|endoftext|>", pad_token="<|im_start|>")
    facts, messages = settled(folder)
    assert (facts.bos, facts.begin, facts.added_before, facts.added_after) == (0, 0, (0,), ())
    assert "the chat template does not begin with '<|endoftext|>', as the tokenizer does: it does now" in messages
    chat = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        [{"role": "user", "content": "안녕"}], return_dict=True
    )
    assert chat["input_ids"][:2] == [0, 1]


def test_a_turn_that_ends_in_no_token_of_its_own_is_refused(folder):
    template = "{% for m in messages %}{% generation %}{{ m.content }}.{% endgeneration %}{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(BadRequest, match="turn ends in '.' under the chat template"):
        settle(folder, print)


@pytest.mark.parametrize(
    ("rope", "length"),
    [
        ({"rope_type": "default"}, 4096),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}, 16384),
        ({"rope_type": "linear", "factor": 2.0}, 8192),
        (
            {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 1024}
            | {"low_freq_factor": 1.0, "high_freq_factor": 4.0},
            4096,
        ),
    ],
    ids=["default", "yarn", "linear", "llama3"],
)
def test_the_context_length_counts_rope_scaling_once(rope, length):
    config = Qwen3Config(max_position_embeddings=4096, rope_parameters={"rope_theta": 1e6, **rope})
    assert context_length(config) == length
