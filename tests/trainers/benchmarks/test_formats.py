"""Suites: what is wrong with a file is said with its name and line."""

import json

import pytest

from tests.support.toy import sample_suites, write_corpus, write_suites
from trainers.benchmarks.formats import by_domain, held_out_suites, read_suites, spread
from trainers.contract import BadData, BadRequest


@pytest.fixture
def folder(tmp_path):
    write_suites(tmp_path, sample_suites())
    return tmp_path


def test_all_suites_are_read_and_text_is_parted_by_domain(folder):
    suites = read_suites(folder, "all", None)
    assert [(suite.name, len(suite.items)) for suite in suites] == [
        ("choice", 20),
        ("follow", 2),
        ("held", 10),
        ("instruct", 3),
        ("prefer", 10),
    ]
    assert [part.name for part in by_domain(suites[2])] == ["held/en", "held/ko-news"]


def test_a_limit_takes_items_from_everywhere(folder):
    (suite,) = read_suites(folder, ("choice",), 4)
    assert [item.id for item in suite.items] == ["c0", "c5", "c10", "c15"]
    assert spread([1, 2], None) == [1, 2]


def test_an_unknown_suite_is_named_with_those_there_are(folder):
    with pytest.raises(BadRequest, match=r"\['kobest'\].*'choice'"):
        read_suites(folder, ("choice", "kobest"), None)


def test_a_missing_file_is_bad_data(folder):
    (folder / "choice.jsonl").unlink()
    with pytest.raises(BadData, match=r"choice.jsonl is missing"):
        read_suites(folder, "all", None)


def test_a_changed_file_is_bad_data(folder):
    with (folder / "choice.jsonl").open("a") as stream:
        stream.write("\n")
    with pytest.raises(BadData, match="not the file that suites.json describes"):
        read_suites(folder, "all", None)


@pytest.mark.parametrize(
    ("form", "row", "words"),
    [
        ("multiple_choice", {"id": "1", "question": "q", "choices": ["a", "b"], "answer": 2}, "none of 2"),
        ("instruction", {"id": "1", "messages": [{}], "answer": "c", "choices": ["a", "b"]},
         "none of the choices"),
        ("text", {"id": "1", "text": "", "domain": "ko"}, "text"),
    ],
)  # fmt: skip
def test_a_broken_item_is_named_by_line(tmp_path, form, row, words):
    good = sample_suites()["choice"][1][0] if form == "multiple_choice" else row
    write_suites(tmp_path, {"s": (form, [good, row])})
    with pytest.raises(BadData, match=rf"s\.jsonl:[12] is no {form} item[\s\S]*{words}"):
        read_suites(tmp_path, "all", None)


def test_ids_occur_once(tmp_path):
    row = {"id": "1", "text": "글", "domain": "ko"}
    write_suites(tmp_path, {"s": ("text", [row, row])})
    with pytest.raises(BadData, match="same id"):
        read_suites(tmp_path, "all", None)


def test_an_unknown_format_is_named(tmp_path):
    write_suites(tmp_path, {"s": ("riddle", [])})
    with pytest.raises(BadData, match="'riddle'.*known"):
        read_suites(tmp_path, "all", None)


def test_held_out_text_comes_by_language(tmp_path):
    write_corpus(tmp_path)
    (suite,) = held_out_suites(tmp_path, 5)
    assert (suite.name, suite.format, len(suite.items)) == ("corpus/ko", "text", 5)
    assert json.dumps(suite.items[0].text)
