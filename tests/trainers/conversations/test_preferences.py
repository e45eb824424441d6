"""Preference pairs: texts, messages and scored answers; equal sides and wrong roles are excluded."""

import pytest

from tests.support.corpus_landing import read_jsonl, run_data_stage, write_jsonl
from trainers.contract import BadData
from trainers.conversations.preferences import pair
from trainers.text.records import Unusable

USER = {"role": "user", "content": "질문"}


def answer(text):
    return {"role": "assistant", "content": text}


WANTED = {"prompt": [USER], "chosen": [answer("좋은 답")], "rejected": [answer("나쁜 답")]}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "질문", "chosen": "좋은 답", "rejected": "나쁜 답"},
        {"prompt": [USER], "chosen": [answer("좋은 답")], "rejected": [answer("나쁜 답")]},
        {"chosen": [USER, answer("좋은 답")], "rejected": [USER, answer("나쁜 답")]},
        {"prompt": "질문", "answers": [{"text": "나쁜 답", "score": 1}, {"text": "좋은 답", "score": 4.5}]},
    ],
)
def test_schemas(row):
    assert pair(row) == WANTED


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "질문", "chosen": "같은 답", "rejected": "같은 답 "}, "equal_sides"),
        ({"prompt": "", "chosen": "a", "rejected": "b"}, "field_empty"),
        ({"prompt": "질문", "chosen": "답"}, "field_missing"),
        ({"prompt": "질문", "chosen": None, "rejected": "b"}, "field_missing"),
        ({"prompt": ["배열"], "chosen": "a", "rejected": "b"}, "message_not_object"),
        ({"prompt": [answer("먼저")], "chosen": "a", "rejected": "b"}, "roles_out_of_order"),
        ({"prompt": [USER, answer("답")], "chosen": "a", "rejected": "b"}, "roles_out_of_order"),
        ({"prompt": "질문", "chosen": [USER], "rejected": "b"}, "roles_out_of_order"),
        ({"prompt": "질문", "chosen": [{**USER, "content": "다른"}, answer("a")], "rejected": "b"}, "other_prompt"),
        ({"prompt": "질문", "answers": [{"text": "a", "score": 1}]}, "too_few_answers"),
        ({"prompt": "질문", "answers": [{"text": "a", "score": 1}, {"text": "b", "score": 1}]}, "equal_scores"),
    ],
)
def test_wrong_rows(row, reason):
    with pytest.raises(Unusable) as caught:
        pair(row)
    assert caught.value.args[0] == reason


def test_pairs_of_one_prompt_stay_on_one_side(tmp_path):
    rows = [
        {"prompt": f"질문 {n}", "chosen": f"좋은 답 {k}", "rejected": f"나쁜 답 {k}"}
        for n in range(30)
        for k in range(2)
    ]
    write_jsonl(tmp_path / "landing/r1/preferences/a.jsonl", rows)
    manifest, folder = run_data_stage("preferences", tmp_path, validation_share=0.2)
    train, validation = read_jsonl(folder / "train.jsonl"), read_jsonl(folder / "validation.jsonl")
    assert manifest.details.kept == 60
    assert {str(row["prompt"]) for row in train} & {str(row["prompt"]) for row in validation} == set()
    assert set(train[0]) == {"id", "prompt", "chosen", "rejected", "source", "licence", "task"}


def test_nothing_usable(tmp_path):
    write_jsonl(tmp_path / "landing/r1/preferences/a.jsonl", [{"prompt": "질문", "chosen": "x", "rejected": "x"}])
    with pytest.raises(BadData, match="equal_sides"):
        run_data_stage("preferences", tmp_path)
