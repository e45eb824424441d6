"""Verifiable instructions: each check met and missed, in Korean."""

import pytest
from pydantic import ValidationError

from trainers.benchmarks.checks import Check


@pytest.mark.parametrize(
    ("kind", "value", "good", "bad"),
    [
        ("min_characters", 5, "안녕하세요", "안녕"),
        ("max_characters", 5, "안녕하세요", "안녕하십니까"),
        ("max_characters", 2, "\u1112\u1161\u11ab\u1100\u1173\u11af", "한국어"),  # NFD counts as what is read
        ("sentences", 2, "비가 온다. 우산을 써라!", "비가 온다."),
        ("list_items", 3, "1. 물\n2. 불\n3) 흙", "물, 불, 흙"),
        ("list_items", 2, "- 물\n- 불", "- 물\n- 불\n- 흙"),
        ("contains", ["김치", "두부"], "두부와 김치", "두부만"),
        ("forbidden", ["설탕"], "소금을 넣는다", "설탕을 넣는다"),
        ("starts_with", "네,", "네, 그렇습니다.", "그렇습니다."),
        ("ends_with", "끝.", "이것으로 끝.", "이것으로 끝"),
        ("json", True, '{"이름": "하나"}', "이름: 하나"),
        ("level", "합쇼체", "비가 옵니다. 우산을 쓰십시오. 갈까요, 갑니까?", "비가 옵니다. 우산을 써요."),
        ("level", "해요체", "비가 와요. 우산을 쓰죠?", "비가 옵니다."),
        ("level", "해라체", "비가 온다. 우산을 써라.", "비가 옵니다."),
        ("language", "ko", "서울은 한국의 수도입니다 (Seoul).", "Seoul is the capital of Korea (서울)."),
        ("language", "en", "Seoul is the capital.", "서울은 수도입니다."),
    ],
)
def test_each_check_is_met_and_missed(kind, value, good, bad):
    check = Check(kind=kind, value=value)
    assert check.holds(good)
    assert not check.holds(bad)
    assert not check.holds("  ")


@pytest.mark.parametrize(
    ("kind", "value"),
    [("level", "존댓말"), ("language", "한국어"), ("sentences", "둘"), ("sentences", True), ("rhyme", 1)],
)
def test_a_check_that_cannot_be_is_refused(kind, value):
    with pytest.raises(ValidationError):
        Check(kind=kind, value=value)
