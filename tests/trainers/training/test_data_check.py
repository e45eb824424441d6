"""`data check` says of a folder what its stage would: form, losses, examples with their mask, exit code."""

import json

import pytest

from tests.support.corpus_landing import write_jsonl
from trainers.__main__ import main
from trainers.training.base_model.built import train_tokenizer
from trainers.training.base_model.stage import sample_texts
from trainers.training.templates import template_text


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(sample_texts()[:200], 600).save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(template_text("chatml"))
    return folder


def check(model, folder, *more):
    return main(["data", "check", str(folder), "--model", str(model), *more])


def test_what_a_folder_would_become_is_shown_with_the_mask_in_colour(model, tmp_path, capsys):
    rows = [{"instruction": f"{n}은?", "output": f"답 {n}", "출처": "책"} for n in range(30)]
    write_jsonl(tmp_path / "mine" / "a.jsonl", [*rows, {"instruction": "물음", "output": None}])
    assert check(model, tmp_path / "mine") == 0
    printed = capsys.readouterr().out
    assert "a.jsonl: 31 rows; read as prompt + response; lost: unknown_schema 1" in printed
    assert "columns that nothing reads: 출처 30" in printed
    assert "\033[32m답 0<|im_end|>\033[0m" in printed and "tokens by length" in printed


@pytest.mark.parametrize("kind", ("preferences", "judged", "instructions"))
def test_what_the_chat_template_refuses_is_counted(tmp_path, capsys, kind):
    folder = tmp_path / "model"
    tokenizer = train_tokenizer(sample_texts()[:200], 600)
    alternate = "{% if messages|length > 2 %}{{ raise_exception('one question, one answer') }}{% endif %}"
    tokenizer.chat_template = alternate + template_text("chatml")
    tokenizer.save_pretrained(folder)
    rows = []
    for number in range(30):
        question = [{"role": "user", "content": f"물음 {number}은 무엇입니까?"}]
        question += [{"role": "assistant", "content": "무엇을 물으셨나요?"}, *question] if number < 4 else []
        good, bad = ([{"role": "assistant", "content": f"{word} 답 {number}입니다."}] for word in ("맞는", "틀린"))
        rows.append(
            {
                "preferences": {"prompt": question, "chosen": good, "rejected": bad},
                "judged": {"prompt": question, "completion": good, "label": bool(number % 2)},
                "instructions": {"messages": [*question, *good]},
            }[kind]
        )
    write_jsonl(tmp_path / "mine" / "a.jsonl", rows)
    assert check(folder, tmp_path / "mine") == 0
    printed = capsys.readouterr().out
    assert f"training leaves out, by the chat template of {folder}: refused_by_template 4" in printed
    lengths = printed.partition("tokens by length")[2].partition("): ")[2]
    assert sum(int(part.rpartition(": ")[2]) for part in lengths.splitlines()[0].split(", ")) == 26


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("preferences", {"prompt": "물음", "chosen": "가", "rejected": "나"}),
        ("benchmarks", {"question": "물음", "choices": ["가", "나"], "answer": 1}),
        ("instructions", {"question": "물음", "answer": "답"}),
        ("corpus", {"text": "글"}),
    ],
)
def test_the_kind_of_a_folder_is_told_by_its_rows(tmp_path, kind, row):
    from trainers.training.data_check import guessed

    write_jsonl(tmp_path / "a.jsonl", [row])
    assert guessed(tmp_path) == kind


def test_it_exits_as_the_stage_would_with_the_mapping_that_would_help(model, tmp_path, capsys):
    folder = tmp_path / "instructions"
    write_jsonl(folder / "a.jsonl", [{"물음": f"{n}은?", "대꾸": f"답 {n}"} for n in range(9)])
    assert check(model, folder) == 65
    assert "`instructions.fields: {prompt: 물음, response: 대꾸}`" in capsys.readouterr().out
    mapped = ("--set", "instructions.fields.prompt=물음", "--set", "instructions.fields.response=대꾸")
    assert check(model, folder, *mapped) == 0
    (folder / "a.jsonl").write_text(json.dumps([]))
    assert check(model, folder) == 65
