"""Quality filters: each rule excludes what it is for, by its own name, and both sides know the same features."""

import json
import re
from pathlib import Path

import pytest

from trainers.contract import settings
from trainers.contract.recipe.filters import RULES, FilterSettings
from trainers.text.characters import Texts
from trainers.text.filters import judge, languages, measure, verdicts

SENTENCE = "아침에 강가를 걷다가 오래된 다리를 건너서 시장까지 갔습니다."
DIFFERENT = [f"{n}번째 날에는 {n * 7}쪽까지 책을 읽었습니다" for n in range(10)]
BROKEN = {
    "too_short": "짧은 글입니다.",
    "too_long": SENTENCE * 40,
    "no_letters": "1234567890 " * 4,
    "language": "Это предложение написано по-русски, оно не корейское.",
    "replacement_characters": f"{SENTENCE}���",
    "symbols": f"{SENTENCE} {'=+' * 30}",
    "digits": f"{SENTENCE} {'12345' * 20}",
    "short_words": " ".join("가나다라마바사아자차카타파하거너더러머버"),
    "long_words": " ".join(
        f"{syllable}나다라마바사아자차카타" for syllable in "가거고구그기개게괴귀너노누느니네뇌뉘더도"
    ),
    "duplicate_lines": "\n".join([*DIFFERENT[:3], *["같은 줄이 또 나옵니다."] * 8]),
    "repeated_ngrams": " ".join([SENTENCE] * 4),
    "bullets": "\n".join(f"- The {n}th page was read." for n in range(10)),
    "ellipses": "\n".join(f"{line}..." for line in DIFFERENT),
    "unfinished_lines": "\n".join(f"The chapter that has {n} pages" for n in range(10)),
    "no_stop_words": "고추 배추 감자 당근 오징어 고등 명태 갈치 삼치 꽁치 "
    "대구 참치 연어 광어 우럭 도미 농어 장어 홍합 굴비",
}
STRICT = FilterSettings(max_characters=1000, min_mean_word_length=1.5, max_repeated_ngram_share=0.25)


GENRES = [
    (mark == "@", genre, text.strip())
    for mark, genre, text in re.findall(
        r"^([@!]) (\S+)\n(.*?)(?=^[@!] |\Z)",
        (Path(__file__).parent / "genres.txt").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
]
NOT_TOLD_APART = {"boilerplate-products", "link-list"}
"""As many of their words end like particles as in a recipe of nouns: a limit that takes them takes that as well."""


def verdict(text, settings=STRICT):
    return verdicts(judge(measure(Texts.of([text])), settings))[0]


def test_the_list_of_texts_has_one_for_each_rule():
    assert list(BROKEN) == [rule.name for _, rule in RULES]


@pytest.mark.parametrize("name", BROKEN)
def test_each_rule_excludes_by_its_own_name(name):
    reason, detail = verdict(BROKEN[name])
    assert reason == name and float(detail) >= 0


def test_a_text_that_breaks_no_rule_stays_and_the_first_broken_rule_is_the_reason():
    assert verdict(f"{SENTENCE} {SENTENCE[:20]} 그 뒤로는 비가 왔습니다.") is None
    assert verdict("123")[0] == "too_short"
    assert verdict(BROKEN["digits"], FilterSettings(max_digit_share=1)) is None


def test_a_threshold_that_is_reached_is_not_exceeded():
    text = "가나다라마바사아자1"
    assert verdict(text, FilterSettings(min_characters=10, max_digit_share=0.1)) is None
    assert verdict(text, FilterSettings(min_characters=11))[0] == "too_short"
    assert verdict(text, FilterSettings(min_characters=10, max_digit_share=0.09)) == ("digits", "0.1")


def test_every_feature_of_a_rule_is_counted():
    measures = measure(Texts.of([SENTENCE]))
    for key, rule in RULES:
        assert key.startswith(("min_", "max_")) and measures.figure(rule.feature).shape == (1,)
    with pytest.raises(KeyError):
        measures.figure("rhymes/words")


@pytest.mark.parametrize(("stays", "genre", "text"), GENRES, ids=[genre for _, genre, _ in GENRES])
def test_korean_of_every_genre_stays_and_what_is_no_text_goes(stays, genre, text):
    assert (verdict(text, FilterSettings()) is None) == (stays or genre in NOT_TOLD_APART)


def test_the_genres_are_many():
    assert len(GENRES) >= 60 and len({genre for _, genre, _ in GENRES}) == len(GENRES)
    assert sum(not stays for stays, _, _ in GENRES) >= 10


@pytest.mark.realdata
def test_every_text_of_the_case_file_stays():
    cases = (settings.TESTDATA.get() or Path(__file__).parents[4] / "shared" / "data").parent / "cases" / "filters"
    rows = [json.loads(line) for line in (cases / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["id"]: verdict(row["text"], FilterSettings()) for row in rows} == {row["id"]: None for row in rows}


def test_hanja_is_korean_where_hangul_goes_on_with_it():
    mixed = "國民의 權利와 義務를 定하고 社會를 維持함을 目的으로 한다. 國家는 敎育을 保障한다."
    measures = measure(Texts.of([mixed, "今天天气很好，我们一起去公园散步，然后回家吃饭。", "三国志 水滸伝 한글"]))
    assert measures.count("hanja").tolist() == [19, 0, 0]
    assert verdict(mixed, FilterSettings()) is None
    assert (
        verdict("今天天气很好，我们一起去公园散步，然后回家吃饭。明天我打算去图书馆看书。", FilterSettings())[0]
        == "language"
    )


def test_short_lines_that_repeat_weigh_little():
    code = "\n".join(f"값을 {n}번째로 계산하여 돌려주는 함수입니다\n}}\n```" for n in range(9))
    assert verdict(code, FilterSettings()) is None
    assert verdict("\n".join(["같은 줄이 또 나옵니다."] * 9), FilterSettings())[0] == "duplicate_lines"


def test_code_that_a_korean_text_repeats_is_no_repeated_line():
    lesson = "".join(
        f"{n}번째 단계에서는 아래처럼 상태를 한 번 더 고쳐 씁니다.\nconst [state, setState] = useState(0);\n"
        for n in range(9)
    )
    assert measure(Texts.of([lesson])).count("duplicate_line_characters").tolist() == [0]
    advertised = lesson + "지금 바로 무료로 상담을 받아 보십시오.\n" * 40
    assert verdict(advertised, FilterSettings())[0] == "duplicate_lines"
    english = "The state is set again.\nconst [state, setState] = useState(0);\n" * 9
    assert verdict(english, FilterSettings())[0] == "duplicate_lines"


def test_language_is_by_the_scripts_of_the_letters():
    texts = ["한국어 글입니다", "An English text", "Это по-русски", "한국어 속의 English words 조금 있다", "12 34"]
    assert languages(measure(Texts.of(texts))) == ["ko", "en", "other", "ko", "other"]
