"""Ollama's Modelfile: put together from what our templates write, without the marks that only transformers knows."""

import pytest

from tests.support.toy import sentences, train_tokenizer
from trainers.export.gguf_form.modelfile import TurnMarks, modelfile
from trainers.training.templates import template_text, without_generation_marks

TALK = [
    {"role": "system", "content": "짧게."},
    {"role": "user", "content": "안녕?"},
    {"role": "assistant", "content": "네."},
    {"role": "user", "content": "뭐 해?"},
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(sentences(50, seed=0), vocabulary=400)


@pytest.mark.parametrize("name", ["chatml", "qwen2.5", "llama3"])
def test_a_packaged_template_is_put_together_from_its_turns(tokenizer, name):
    tokenizer.chat_template = template_text(name)
    marks = TurnMarks.of(tokenizer)
    assert marks is not None
    go = marks.in_go("")
    assert go.count("{{ .Content }}") == 2 and go.endswith(marks.before_assistant)
    assert ("You are Qwen" in marks.before_all) == (name == "qwen2.5")


def test_chatml_in_go(tokenizer):
    tokenizer.chat_template = template_text("chatml")
    assert TurnMarks.of(tokenizer).in_go("") == (
        "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ else }}{{ end }}"
        '{{ range .Messages }}{{ if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "assistant" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n{{ end }}{{ end }}'
        "<|im_start|>assistant\n"
    )


def test_the_token_that_llama_cpp_adds_is_not_written_twice(tokenizer):
    tokenizer.chat_template = template_text("llama3")
    marks = TurnMarks.of(tokenizer)
    assert marks.in_go("").count("<|begin_of_text|>") == 2, "with a system turn, and without"
    assert "<|begin_of_text|>" not in marks.in_go("<|begin_of_text|>")


def test_a_template_that_is_no_sequence_of_turns_is_left_to_ollama(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}{{ m.content | upper }} {{ loop.length }}{% endfor %}"
    assert TurnMarks.of(tokenizer) is None
    text = modelfile("m-q8_0.gguf", None, "", ["<|im_end|>", "<|endoftext|>"], 4096, "짧게 답하세요.")
    assert text == (
        'FROM ./m-q8_0.gguf\nSYSTEM """짧게 답하세요."""\nPARAMETER stop "<|im_end|>"\n'
        'PARAMETER stop "<|endoftext|>"\nPARAMETER num_ctx 4096\n'
    )


@pytest.mark.parametrize("name", ["chatml", "qwen2.5", "llama3", "gemma"])
@pytest.mark.parametrize("prompt", [False, True])
def test_a_template_without_its_marks_writes_the_same(tokenizer, name, prompt):
    text = template_text(name)
    tokenizer.chat_template = text
    ours = tokenizer.apply_chat_template(TALK, tokenize=False, add_generation_prompt=prompt)
    tokenizer.chat_template = without_generation_marks(text)
    assert "generation %}" not in tokenizer.chat_template and "{%- if true %}" in tokenizer.chat_template
    assert tokenizer.apply_chat_template(TALK, tokenize=False, add_generation_prompt=prompt) == ours
