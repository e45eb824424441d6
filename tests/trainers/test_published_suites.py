"""Published Korean benchmarks from their real files, quirks included, and what is said of broken ones."""

from collections import Counter

import pytest

from trainers.contract import BadData
from trainers.evaluation.suites import MultipleChoice
from trainers.published_suites import is_published, published_suites

REAL = {
    "kobest_boolq": 1404,
    "kobest_copa": 1000,
    "kobest_hellaswag": 500,
    "kobest_sentineg": 397,
    "kobest_wic": 1260,
    "klue_nli": 3000,
    "klue_sts": 519,
}


@pytest.fixture(scope="module")
def real(testdata):
    return published_suites(testdata / "eval")


@pytest.mark.realdata
def test_every_real_row_becomes_an_item_with_a_known_answer(real):
    assert {name: len(rows) for name, rows in real.items() if name in REAL} == REAL
    assert len(real["klue_ner"]) > 4000
    assert len(real["klue_dp"]) > 1000
    for name, rows in real.items():
        assert len({row["id"] for row in rows}) == len(rows), name
        for row in rows:
            MultipleChoice.model_validate(row)
            assert "\r" not in row["question"] + "".join(row["choices"])


@pytest.mark.realdata
def test_labels_of_both_spellings_are_counted(real):
    """BoolQ and WiC mix True and TRUE; the published test sets are near balance."""
    for name in ("kobest_boolq", "kobest_wic", "kobest_sentineg"):
        share = Counter(row["answer"] for row in real[name])[1] / len(real[name])
        assert 0.45 < share < 0.55, name


@pytest.mark.realdata
def test_questions_read_as_lm_eval_asks_them(real):
    first = real["kobest_copa"][0]
    assert first["question"] == "새로 산 바지의 허리가 컸다.  그래서"
    assert real["kobest_wic"][0]["question"].startswith("문장1: 토양에 [양분]이 풍부하여")
    assert real["kobest_boolq"][0]["question"].endswith(" 질문: 콜라독립 815는 코카콜라에서 만들었나요? 답변: ")
    assert real["klue_ner"][0]["choices"][real["klue_ner"][0]["answer"]] == "기관"
    dp = real["klue_dp"][0]
    assert "'유희열이'의 서술어" in dp["question"] and dp["choices"][dp["answer"]] == "흘렸다."


def test_an_unbalanced_quote_is_text(tmp_path):
    (tmp_path / "BoolQ").mkdir()
    (tmp_path / "BoolQ" / "test.tsv").write_text(
        'ID\tText\tQuestion\tAnswer\r\n1\t"가나다\t라인가?\tTRUE\r\n2\t마"바\t사인가?\tFalse\r\n', newline=""
    )
    rows = published_suites(tmp_path)["kobest_boolq"]
    assert [(row["question"], row["answer"]) for row in rows] == [
        ('"가나다 질문: 라인가? 답변: ', 1),
        ('마"바 질문: 사인가? 답변: ', 0),
    ]


def test_columns_are_found_by_name(tmp_path):
    (tmp_path / "SentiNeg").mkdir()
    path = tmp_path / "SentiNeg" / "test.tsv"
    path.write_text("Text\tID\tLabel\n좋다\t7\t1\n")
    assert published_suites(tmp_path)["kobest_sentineg"][0]["question"] == "문장: 좋다 긍부정:"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("ID\tText\tLabel\n1\t좋다\t1\n2\t나쁘다\n", "item 2 .* 2 cells under 3 columns"),
        ("ID\tLabel\n1\t1\n", "item 1 .* no column or value 'Text'"),
        ("ID\tText\tLabel\n1\t좋다\t긍정\n", "item 1"),
    ],
)
def test_a_broken_file_is_named_with_its_item(tmp_path, content, words):
    (tmp_path / "SentiNeg").mkdir()
    (tmp_path / "SentiNeg" / "test.tsv").write_text(content)
    with pytest.raises(BadData, match=rf"SentiNeg/test\.tsv: {words}"):
        published_suites(tmp_path)


def test_kmmlu_keeps_its_subjects(tmp_path):
    (tmp_path / "kmmlu").mkdir()
    for subject in ("Law", "Math"):
        (tmp_path / "kmmlu" / f"{subject}-test.csv").write_text(
            'question,answer,A,B,C,D\n"둘, 그리고 셋은?",4,1,2,3,5\n', encoding="utf-8-sig"
        )
    rows = published_suites(tmp_path)["kmmlu"]
    assert [row["subject"] for row in rows] == ["Law", "Math"]
    assert rows[0]["question"] == "둘, 그리고 셋은?\nA. 1\nB. 2\nC. 3\nD. 5\n정답："
    assert rows[0]["answer"] == 3


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "mine.jsonl").write_text("{}\n")
    assert published_suites(tmp_path) == {}
    assert not is_published("mine.jsonl") and is_published("kobest/WiC/test.tsv")
