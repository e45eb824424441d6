"""Benchmark suites: one format a file, listed with their digests, and none lost silently."""

import hashlib
import json
import zipfile

import pytest

from tests.support.corpus_landing import read_jsonl, run_data_stage, write_jsonl
from tests.support.plugins import FOLDER
from trainers.benchmarks import items
from trainers.contract import BadData
from trainers.conversations.columns import SUITE, values_of
from trainers.text.records import Unusable


def item(row):
    return items.item(values_of(row, SUITE, {}))


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


def test_published_benchmarks_in_an_archive_are_read_beside_own_suites_in_it(tmp_path):
    landing = tmp_path / "landing/r1/benchmarks"
    landing.mkdir(parents=True)
    with zipfile.ZipFile(landing / "all.zip", "w") as archive:
        archive.writestr("kobest/SentiNeg/test.tsv", "ID\tText\tLabel\n7\t좋다\t1\n")
        archive.writestr("kobest/SentiNeg/train.tsv", "ID\tText\tLabel\n8\t싫다\t0\n")
        archive.writestr("kobest/README.md", "CC BY-SA 4.0")
        archive.writestr("mine.jsonl", json.dumps(ROWS["text"]))
    manifest, _ = run_data_stage("benchmarks", tmp_path)
    assert manifest.details.suites == {"all.zip-mine": 1, "kobest_sentineg": 1}
    assert not manifest.details.excluded and not manifest.details.unread


def test_a_suite_in_a_form_of_its_own_is_read_by_a_plugin(tmp_path, monkeypatch):
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(FOLDER))
    landing = tmp_path / "landing/r1/benchmarks"
    write_jsonl(landing / "mine.jsonl", [ROWS["text"]])
    (landing / "riddles").mkdir()
    (landing / "riddles/animals.tsv").write_text("목이 긴 것은?\t기린\t개\n수염이 있는 것은?\t고양이\t닭\n")
    (landing / "riddles/things.tsv").write_text("날이 있는 것은?\t칼\t공\n날이 없는 것은?\t공\n")
    readers = {"riddles": {"files": "riddles/*.tsv", "read": "korean_extras.suites:riddles"}}
    manifest, folder = run_data_stage("benchmarks", tmp_path, readers=readers, max_bad_share=0.5)
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
        ({**ROWS["multiple_choice"], "answer": "대전"}, "bad_answer"),
        ({**ROWS["multiple_choice"], "answer": True}, "bad_answer"),
        ({**ROWS["multiple_choice"], "choices": ["서울", "서울 "]}, "bad_choices"),
        ({**ROWS["multiple_choice"], "choices": "서울"}, "bad_choices"),
        ({**ROWS["instruction"], "choices": ["가", "나"]}, "bad_answer"),
        ({**ROWS["instruction"], "messages": [USER, {"role": "assistant", "content": "답"}]}, "roles_out_of_order"),
        ({**ROWS["preference"], "rejected": "a"}, "equal_sides"),
        ({"messages": [USER], "checks": [{"kind": "rhyme", "value": 1}]}, "bad_checks"),
        ({"messages": [USER], "checks": 7}, "bad_checks"),
        ({"text": ""}, "field_empty"),
        ({"body": "x"}, "unknown_schema"),
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
    write_jsonl(tmp_path / "landing/r1/benchmarks/a.jsonl", [rows[0], {"text": 3}, *rows[1:]])
    with pytest.raises(BadData, match=r"suite 'a' .* 1 of 6 rows cannot be read .*a\.jsonl:2: field_not_text"):
        run_data_stage("benchmarks", tmp_path, max_items_per_suite=3)
    manifest, folder = run_data_stage("benchmarks", tmp_path, max_items_per_suite=3, max_bad_share=0.4)
    assert manifest.details.excluded == {"field_not_text": 1}
    assert [row["text"] for row in read_jsonl(folder / "a.jsonl")] == ["본문 0", "본문 1", "본문 3"]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "수도는?", "choices": ["서울", "부산"], "answer": "A"},
        {"question": "수도는?", "choices": ["서울", "부산"], "answer": "(a)"},
        {"question": "수도는?", "choices": ["서울", "부산"], "answer": "서울"},
        {"question": "수도는?", "choices": ["서울", "부산"], "answer": "0"},
        {"question": "수도는?", "choices": {"text": ["서울", "부산"], "label": ["1", "2"]}, "answerKey": "1"},
        {
            "question": "수도는?",
            "choices": [{"label": "가", "text": "서울"}, {"label": "나", "text": "부산"}],
            "gold": "가",
        },
        {"Question": "수도는?", "A": "서울", "B": "부산", "answer": "A", "messages": None, "checks": None},
    ],
)
def test_the_right_answer_is_read_however_it_is_spelt(row):
    assert item(row) == ("multiple_choice", ROWS["multiple_choice"])


def test_an_answer_out_of_range_says_that_the_others_may_be_shifted(tmp_path):
    rows = [{"question": f"물음 {n}", "choices": ["가", "나", "다"], "answer": 1 + n % 3} for n in range(6)]
    write_jsonl(tmp_path / "landing/r1/benchmarks/a.jsonl", rows)
    with pytest.raises(BadData, match=r"a\.jsonl:3: answer 3 of 3 choices: answers count from 0 here"):
        run_data_stage("benchmarks", tmp_path, max_bad_share=0.9)


def test_a_suite_with_nothing_usable_fails(tmp_path):
    write_jsonl(tmp_path / "landing/r1/benchmarks/good.jsonl", [ROWS["text"]])
    write_jsonl(tmp_path / "landing/r1/benchmarks/bad.jsonl", [{"text": ""}])
    with pytest.raises(BadData, match=r"suite 'bad' .*field_empty \(1\)"):
        run_data_stage("benchmarks", tmp_path)


def test_no_suite(tmp_path):
    with pytest.raises(BadData, match="empty"):
        run_data_stage("benchmarks", tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("utils.py", "import os"),
        ("task.yaml", "task: a\ndoc_to_text: !function utils.evil"),
        ("task.yaml", "task: a\nx: !!python/object/apply:os.system [id]"),
        ("_default_yaml", "doc_to_target: !function utils.evil"),
        ("task.pyc", "\x00"),
    ],
)
def test_code_in_a_drops_tasks_is_refused(tmp_path, name, text):
    landing = tmp_path / "landing/r1/benchmarks"
    write_jsonl(landing / "mine.jsonl", [ROWS["text"]])
    (landing / "lm_eval").mkdir()
    (landing / "lm_eval" / name).write_text(text)
    with pytest.raises(BadData, match=f"lm_eval/{name} is (no YAML without )?code"):
        run_data_stage("benchmarks", tmp_path)


def test_names_that_no_file_can_have_or_hold_are_bad_data(tmp_path):
    landing = tmp_path / "landing/r1/benchmarks"
    landing.mkdir(parents=True)
    (landing / f"{'가' * 83}a.csv").write_text("text\n본문\n")  # 254 bytes, and 256 as .jsonl
    with pytest.raises(BadData, match="at most 255"):
        run_data_stage("benchmarks", tmp_path)
    for path in landing.iterdir():
        path.unlink()
    (landing / "mine.jsonl").write_text(r'{"text": "본문", "id": "\ud800", "domain": "\udfff"}')
    _, folder = run_data_stage("benchmarks", tmp_path)
    assert read_jsonl(folder / "mine.jsonl")[0]["text"] == "본문"
