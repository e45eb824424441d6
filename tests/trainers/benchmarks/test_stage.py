"""Benchmark suites: one format a file, listed with their digests, and none lost silently."""

import hashlib
import json

import pytest

from tests.support.corpus_landing import read_jsonl, run_data_stage, write_jsonl
from tests.support.plugins import FOLDER
from trainers.benchmarks.stage import item
from trainers.contract import BadData
from trainers.text.records import Unusable

USER = {"role": "user", "content": "질문"}
ROWS = {
    "multiple_choice": {"question": "수도는?", "choices": ["서울", "부산"], "answer": 0},
    "instruction": {"messages": [USER], "answer": "답", "task": "t"},
    "preference": {"prompt": "질문", "chosen": "a", "rejected": "b"},
    "text": {"text": "본문", "domain": "ko-encyclopedia"},
}


def test_all_formats(tmp_path):
    for name, row in ROWS.items():
        write_jsonl(tmp_path / f"landing/r1/benchmarks/{name}.jsonl", [row, {**row, "id": "x"}])
    manifest, folder = run_data_stage("benchmarks", tmp_path)
    suites = json.loads((folder / "suites.json").read_text())
    assert {suite: entry["format"] for suite, entry in suites.items()} == {name: name for name in ROWS}
    for suite, entry in suites.items():
        assert entry["sha256"] == hashlib.sha256((folder / f"{suite}.jsonl").read_bytes()).hexdigest()
        assert [row["id"] for row in read_jsonl(folder / f"{suite}.jsonl")] == [f"{suite}-1", "x"]
    assert manifest.details.suites == dict.fromkeys(sorted(ROWS), 2)


def test_published_benchmarks_are_read_from_their_own_files_beside_ours(tmp_path):
    landing = tmp_path / "landing/r1/benchmarks"
    write_jsonl(landing / "mine.jsonl", [ROWS["text"]])
    (landing / "kobest/SentiNeg").mkdir(parents=True)
    (landing / "kobest/SentiNeg/test.tsv").write_text("ID\tText\tLabel\r\n7\t좋다\t1\r\n", newline="")
    (landing / "kobest/SentiNeg/train.tsv").write_text("ID\tText\tLabel\n8\t싫다\t0\n")
    (landing / "kobest/License.md").write_text("CC BY-SA 4.0")
    (landing / "lm_eval").mkdir()
    (landing / "lm_eval/task.yaml").write_text("task: riddles")
    manifest, folder = run_data_stage("benchmarks", tmp_path)
    assert manifest.details.suites == {"kobest_sentineg": 1, "mine": 1}
    assert (folder / "lm_eval/task.yaml").read_text() == "task: riddles"
    (row,) = read_jsonl(folder / "kobest_sentineg.jsonl")
    assert row == {
        "id": "7",
        "question": "문장: 좋다 긍부정:",
        "choices": ["부정", "긍정"],
        "answer": 1,
        "score": "sum",
    }


def test_a_suite_in_a_form_of_its_own_is_read_by_a_plugin(tmp_path, monkeypatch):
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(FOLDER))
    landing = tmp_path / "landing/r1/benchmarks"
    write_jsonl(landing / "mine.jsonl", [ROWS["text"]])
    (landing / "riddles").mkdir()
    (landing / "riddles/animals.tsv").write_text("목이 긴 것은?\t기린\t개\n수염이 있는 것은?\t고양이\t닭\n")
    (landing / "riddles/things.tsv").write_text("날이 있는 것은?\t칼\t공\n날이 없는 것은?\t공\n")
    readers = {"riddles": {"files": "riddles/*.tsv", "read": "korean_extras.suites:riddles"}}
    manifest, folder = run_data_stage("benchmarks", tmp_path, readers=readers)
    assert manifest.details.suites == {"mine": 1, "riddles": 3}
    assert manifest.details.excluded == {"bad_choices": 1}
    assert [row["id"] for row in read_jsonl(folder / "riddles.jsonl")] == ["riddles-1", "riddles-2", "riddles-3"]
    assert read_jsonl(folder / "riddles.jsonl")[0] == {
        "id": "riddles-1",
        "question": "수수께끼: 목이 긴 것은?",
        "choices": ["기린", "개"],
        "answer": 0,
        "subject": "animals",
    }


def test_a_reader_that_fails_or_finds_nothing_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(FOLDER))
    write_jsonl(tmp_path / "landing/r1/benchmarks/mine.jsonl", [ROWS["text"]])
    readers = {"riddles": {"files": "riddles/*.tsv", "read": "korean_extras.suites:riddles"}}
    run_data_stage("benchmarks", tmp_path, readers=readers)
    output = capsys.readouterr()
    assert "readers.riddles: no file of the benchmarks is called riddles/*.tsv" in output.out + output.err
    (tmp_path / "landing/r1/benchmarks/riddles").mkdir()
    (tmp_path / "landing/r1/benchmarks/riddles/broken.tsv").write_bytes(b"\xff\xfe")
    with pytest.raises(BadData, match=r"riddles/broken\.tsv cannot be read by korean_extras\.suites:riddles: Unicode"):
        run_data_stage("benchmarks", tmp_path, readers=readers)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**ROWS["multiple_choice"], "answer": 2}, "bad_answer"),
        ({**ROWS["multiple_choice"], "answer": True}, "bad_answer"),
        ({**ROWS["multiple_choice"], "choices": ["서울", "서울 "]}, "bad_choices"),
        ({**ROWS["multiple_choice"], "choices": "서울"}, "bad_choices"),
        ({**ROWS["instruction"], "choices": ["가", "나"]}, "bad_answer"),
        ({**ROWS["instruction"], "messages": [USER, {"role": "assistant", "content": "답"}]}, "roles_out_of_order"),
        ({**ROWS["preference"], "rejected": "a"}, "equal_sides"),
        ({"messages": [USER], "checks": [{"kind": "rhyme", "value": 1}]}, "bad_checks"),
        ({"messages": [USER], "checks": 7}, "bad_checks"),
        ({"text": ""}, "field_empty"),
        ({"body": "x"}, "unknown_format"),
    ],
)
def test_wrong_items(row, reason):
    with pytest.raises(Unusable) as caught:
        item(row)
    assert caught.value.args[0] == reason


def test_verifiable_instructions_keep_their_checks():
    checks = [{"kind": "level", "value": "해요체"}, {"kind": "sentences", "value": 2}]
    assert item({"messages": [USER], "checks": checks}) == (
        "instruction",
        {"messages": [USER], "checks": checks, "task": "unnamed"},
    )


def test_wrong_items_are_counted_and_a_limit_takes_items_evenly(tmp_path):
    rows = [{**ROWS["text"], "text": f"본문 {n}"} for n in range(5)]
    write_jsonl(tmp_path / "landing/r1/benchmarks/a.jsonl", [rows[0], {"text": 3}, ROWS["instruction"], *rows[1:]])
    manifest, folder = run_data_stage("benchmarks", tmp_path, max_items_per_suite=3)
    assert manifest.details.excluded == {"field_not_text": 1, "other_format": 1}
    assert [row["text"] for row in read_jsonl(folder / "a.jsonl")] == ["본문 0", "본문 1", "본문 3"]


def test_a_suite_with_nothing_usable_fails(tmp_path):
    write_jsonl(tmp_path / "landing/r1/benchmarks/good.jsonl", [ROWS["text"]])
    write_jsonl(tmp_path / "landing/r1/benchmarks/bad.jsonl", [{"text": ""}])
    with pytest.raises(BadData, match=r"suite 'bad' .*field_empty \(1\)"):
        run_data_stage("benchmarks", tmp_path)


def test_no_suite(tmp_path):
    with pytest.raises(BadData, match="empty"):
        run_data_stage("benchmarks", tmp_path)
