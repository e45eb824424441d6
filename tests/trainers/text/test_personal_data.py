"""Personal data: how much is found, and how much else, on the gold set, on hand-written cases, and in real text."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.personal_gold import SEED, Entry, entries
from tests.support.personal_scores import Scores, ours, score
from trainers.text.characters import Texts
from trainers.text.personal.fold import Folded
from trainers.text.personal_data import KINDS, find, mask

CASES = [
    line.split("|", 1)
    for line in (Path(__file__).parent / "personal" / "cases.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def masked(text, addresses=False):
    texts, changed = mask(Texts.of([text]), addresses)
    return texts[0], Counter(kind for _, kind in changed)


@pytest.fixture(scope="module")
def scores() -> Scores:
    return score(ours, entries())


def test_recall_and_precision_on_the_gold_set(scores):
    print(scores.table())
    assert scores.right.total() + scores.missed.total() == 1400
    assert scores.recall >= 0.995 and scores.precision >= 0.98, "\n".join(scores.examples[:20])
    assert {kind: scores.missed[kind] for kind in KINDS if scores.missed[kind] > 0.02 * scores.right[kind]} == {}


def test_the_figures_hold_for_values_of_another_seed():
    other = score(ours, entries(SEED + 1))
    assert other.recall >= 0.995 and other.precision >= 0.98, "\n".join(other.examples[:20])


def test_a_finder_that_knows_less_scores_less():
    """The score itself: nothing found, everything found, and the right places by the wrong name."""
    sample = list(entries())[:200]
    assert score(lambda text: [], sample).recall == 0
    by_text = {entry.text: entry for entry in sample}
    assert score(lambda text: by_text[text].spans, sample).recall == 1
    wrong = score(lambda text: [(b, e, "NAME") for b, e, _ in by_text[text].spans], sample)
    assert wrong.recall == 0 and wrong.wrong["NAME"] == 200
    half = score(lambda text: [(b, e - 3, kind) for b, e, kind in by_text[text].spans], sample)
    assert half.recall < 0.1


@pytest.mark.parametrize(("kind", "text"), CASES, ids=[text for _, text in CASES])
def test_every_way_of_writing_has_its_kind(kind, text):
    assert [span.kind for span in find(text, addresses=True)] == ([] if kind == "-" else [kind])


def test_every_kind_is_in_the_gold_set_and_among_the_cases():
    gold = {kind for entry in entries() for _, _, kind in entry.spans}
    assert gold == {*KINDS} == {kind for kind, _ in CASES} - {"-"}


def test_several_in_a_line_and_the_rest_untouched():
    text, counts = masked("김(010-1234-5678, kim@example.com)은 3월 2일 02-123-4567로 전화했다.\n다음 줄 2024-01-02")
    assert text == "김([PHONE], [EMAIL])은 3월 2일 [PHONE]로 전화했다.\n다음 줄 2024-01-02"
    assert dict(counts) == {"PHONE": 2, "EMAIL": 1}


def test_disguised_and_plain_numbers_in_one_line():
    line = "공일공 일이삼사 오육칠팔이나 010-1234-5678, 대구 11-22-333333-44, 0 1 0 - 1 2 3 4 - 5 6 7 8"
    assert masked(line)[0] == "[PHONE]이나 [PHONE], [DRIVER_LICENCE], [PHONE]"


def test_invisible_characters_go_with_the_number_they_hide():
    assert masked("전화 010\u200b-12\u200b34-5678 끝\u200b")[0] == "전화 [PHONE] 끝\u200b"


def test_both_halves_of_a_resident_number_told_apart():
    assert masked("앞자리 900101, 뒷자리는 1234567")[0] == "앞자리 [RRN], 뒷자리는 [RRN]"


def test_a_company_is_not_a_person():
    assert masked("법인등록번호 110111-1234567, 주민등록번호 900101-1234567")[0] == (
        "법인등록번호 [CORPORATE_NUMBER], 주민등록번호 [RRN]"
    )


def test_addresses_are_an_option():
    line = "주소: 서울특별시 종로구 세종대로 175, 101동 1203호 우편함"
    assert masked(line)[0] == line
    assert masked(line, addresses=True)[0] == "주소: [ADDRESS] 우편함"
    assert masked("오늘은 서울에 갔다 왔다", addresses=True)[0] == "오늘은 서울에 갔다 왔다"


@pytest.mark.parametrize("text", [*(text for _, text in CASES), "", "\n\n", "[PHONE]", "가\n010-1234-5678\n나"])
def test_masking_twice_changes_nothing(text):
    once = masked(text, addresses=True)[0]
    assert masked(once, addresses=True)[0] == once


def test_lines_of_a_batch_are_read_as_each_by_itself():
    texts = [entry.text for entry in entries()][:400]
    together, changed = mask(Texts.of(texts), addresses=True)
    alone = [masked(text, addresses=True) for text in texts]
    assert list(together.strings) == [text for text, _ in alone]
    of_each = [Counter(kind for place, kind in changed if place == number) for number in range(len(texts))]
    assert of_each == [count for _, count in alone]


def test_an_entry_says_where_its_value_is():
    for entry in entries(size=300):
        assert isinstance(entry, Entry) and all(entry.text[b:e].strip() == entry.text[b:e] for b, e, _ in entry.spans)


def test_a_line_of_very_many_numbers_is_copied_once_for_each_kind_and_not_for_each_number(monkeypatch):
    """Its time grew with the square of its length: two megabytes of addresses took half a minute."""
    copies = []
    blank = Folded.without
    monkeypatch.setattr(Folded, "without", lambda text, spans: copies.append(len(spans)) or blank(text, spans))
    text, counts = masked("010-4821-7733, haneul@example.com; " * 2000)
    assert text == "[PHONE], [EMAIL]; " * 2000 and counts == {"PHONE": 2000, "EMAIL": 2000}
    assert copies == [2000, 2000]
    assert blank(Folded("가나다라마"), [(0, 1), (3, 5)]).text == "\0나다\0\0"
