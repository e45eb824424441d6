"""Preference pairs: texts, messages and scored answers; equal sides and wrong roles are excluded."""

import pytest

from tests.support.corpus_landing import read_jsonl, run_data_stage, write_jsonl
from trainers.contract import BadData
from trainers.conversations import preferences
from trainers.conversations.columns import PREFERENCE, values_of
from trainers.text.records import Unusable


def pair(row):
    return preferences.preference(values_of(row, PREFERENCE, {}))


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
        ({"prompt": "질문", "chosen": [USER], "rejected": "b"}, "no_answer"),
        ({"prompt": "질문", "chosen": [{**USER, "content": "다른"}, answer("a")], "rejected": "b"}, "other_prompt"),
        ({"prompt": "질문", "answers": [{"text": "a", "score": 1}]}, "too_few_answers"),
        ({"prompt": "질문", "answers": [{"text": "a", "score": 1}, {"text": "b", "score": 1}]}, "equal_scores"),
    ],
)
def test_wrong_rows(row, reason):
    with pytest.raises(Unusable) as caught:
        pair(row)
    assert caught.value.args[0] == reason


@pytest.mark.parametrize(
    "row",
    [
        {"question": "질문", "chosen": "좋은 답", "rejected": "나쁜 답", "messages": None},
        {"instruction": "질문", "input": "", "chosen": "좋은 답", "rejected": "나쁜 답"},
        {
            "conversations": [{"from": "human", "value": "질문"}],
            "chosen": {"from": "gpt", "value": "좋은 답"},
            "rejected": {"from": "GPT", "value": "나쁜 답"},
        },
        {"chosen": "\n\nHuman: 질문\n\nAssistant: 좋은 답", "rejected": "\n\nHuman: 질문\n\nAssistant: 나쁜 답"},
    ],
)
def test_forms_of_others(row):
    assert pair(row) == WANTED


def test_the_system_of_a_pair_is_part_of_its_prompt_however_it_is_given():
    system = {"role": "system", "content": "반말로"}
    for row in (
        {"system": "반말로", "prompt": "질문", "chosen": "좋은 답", "rejected": "나쁜 답"},
        {
            "prompt": "질문",
            "chosen": [system, USER, answer("좋은 답")],
            "rejected": [system, USER, answer("나쁜 답")],
        },
    ):
        assert pair(row) == {**WANTED, "prompt": [system, USER]}


def test_branches_that_part_before_the_last_turn_keep_what_follows():
    more = [{"role": "user", "content": "더"}, answer("더 좋은 답")]
    row = {"chosen": [USER, answer("좋은 답"), *more], "rejected": [USER, answer("나쁜 답")]}
    assert pair(row) == {**WANTED, "chosen": [answer("좋은 답"), *more]}


@pytest.mark.parametrize("label", [True, 1, "True"])
def test_an_answer_judged_by_itself_is_a_row_without_its_contrary(label):
    wanted = {"prompt": [USER], "completion": [answer("답")], "label": True}
    assert pair({"prompt": "질문", "completion": "답", "label": label}) == wanted
    assert pair({"messages": [USER, answer("답")], "label": label}) == wanted


def test_contradictions_are_told_and_both_rows_stay(tmp_path, capsys):
    sides = {"chosen": "하나", "rejected": "둘"}
    rows = [
        {"id": "a", "prompt": "질문", **sides},
        {"id": "b", "prompt": "질문", "chosen": "둘", "rejected": "하나"},
        {"id": "c", "prompt": "다른 질문", "completion": "답", "label": True},
        {"id": "d", "prompt": "다른 질문", "completion": "답", "label": False},
    ]
    write_jsonl(tmp_path / "landing/r1/preferences/a.jsonl", rows)
    manifest, _ = run_data_stage("preferences", tmp_path)
    details = manifest.details
    assert (details.kept, details.contradicting, details.unpaired) == (4, 2, 2)
    assert "a and b, c and d" in "".join(capsys.readouterr())


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
