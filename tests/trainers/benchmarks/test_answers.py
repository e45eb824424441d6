"""The right choice, however a suite spells choices and answers; what may mean two of them is refused."""

import unicodedata

import pytest

from trainers.benchmarks.answers import Shifted
from trainers.benchmarks.items import item
from trainers.conversations.columns import SUITE, values_of
from trainers.text.records import Unusable

CITIES = ["서울", "부산", "대구", "광주"]


def answered(row):
    """The text of the right choice."""
    _, asked_row = item(values_of({"question": "어디?", **row}, SUITE, {}))
    return asked_row["choices"][asked_row["answer"]]


@pytest.mark.parametrize(
    "answer",
    [
        *("②", "❷", "(②)", "정답: ②", "2번", "정답은 2번입니다.", "답: 2 번"),
        *("B", "b)", "(B)", "정답: B", "Ｂ", "B. 부산", "(B) 부산", "나", "(나)", "정답: 부산", "답은 부산이다"),
        *(1, 1.0, "1", "1.0", [1], " 부산 ", unicodedata.normalize("NFD", "부산")),
    ],
)
def test_an_answer_however_it_is_spelt(answer):
    assert answered({"choices": CITIES, "answer": answer}) == "부산"


@pytest.mark.parametrize(
    "row",
    [
        {"options": dict(zip("ABCD", CITIES, strict=True)), "answer": "B"},
        {"options": dict(zip("1234", CITIES, strict=True)), "answer": 2},
        {"options": str(CITIES), "answer": "B"},
        {"choices": {"text": CITIES, "label": list("가나다라")}, "answerKey": "나"},
        {"mc1_targets": {"choices": CITIES, "labels": [0, 1, 0, 0]}},
        {"mc1_targets": str({"choices": CITIES, "labels": [0, 1, 0, 0]})},
        {"choices": [f"{sign} {city}" for sign, city in zip("①②③④", CITIES, strict=True)], "answer": "②"},
        {"choices": [f"{sign}. {city}" for sign, city in zip("ABCD", CITIES, strict=True)], "answer": "부산"},
        {**{f"choice_{letter}": city for letter, city in zip("abcd", CITIES, strict=True)}, "answer": "b"},
        {**{f"보기{n}": city for n, city in enumerate(CITIES, 1)}, "정답": "부산"},
        {**{f"ending_{n}": city for n, city in enumerate(CITIES, 1)}, "label": 1},
        {**dict(zip("①②③④", CITIES, strict=True)), "정답": "②"},
        {**dict(zip("1234", CITIES, strict=True)), "정답": 2},
        {"A": "서울", "B": "부산", "C": "", "D": None, "answer": "B"},
    ],
)
def test_choices_wherever_they_stand(row):
    assert answered(row).endswith("부산")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"choices": ["1", "2", "3", "4"], "answer": "2"}, "bad_answer"),
        ({"choices": [1, 2, 3, 4], "answer": 2}, "bad_answer"),
        ({"choices": ["1. 서울", "2. 부산"], "answer": 1}, "bad_answer"),
        ({"choices": CITIES, "answer": "(2)"}, "bad_answer"),
        ({"choices": CITIES, "answer": "⑤"}, "bad_answer"),
        ({"choices": CITIES, "answer": "A. 부산"}, "bad_answer"),
        ({"choices": CITIES, "answer": [0, 1]}, "bad_answer"),
        ({"mc1_targets": {"choices": CITIES, "labels": [1, 1, 0, 0]}}, "bad_answer"),
        ({"mc1_targets": {"choices": CITIES, "labels": [1, 0]}}, "bad_answer"),
        ({"mc1_targets": {"choices": CITIES, "labels": 1}}, "bad_answer"),
        ({"choices": CITIES, "answer": float("nan")}, "bad_answer"),
        ({"choices": CITIES, "answer": 1.5}, "bad_answer"),
        ({"choices": CITIES, "answer": -1}, "no_answer"),
        ({"choices": {"A": "서울"}, "answer": "A"}, "bad_choices"),
    ],
)
def test_what_may_be_another_choice_is_refused(row, reason):
    with pytest.raises(Unusable) as caught:
        answered(row)
    assert caught.value.args[0] == reason


def test_a_number_beyond_the_choices_says_that_all_are_shifted():
    with pytest.raises(Shifted, match="answer 4 of 4 choices"):
        answered({"choices": CITIES, "answer": "4"})
