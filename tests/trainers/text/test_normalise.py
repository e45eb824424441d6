"""Normalisation: what soynlp and kss break stays whole, and twice is the same as once."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.contract.recipe.data import NormaliseSettings
from trainers.text.characters import Texts
from trainers.text.normalise import normalise

DEFAULT = NormaliseSettings()


def normalised(texts, policy=DEFAULT):
    return normalise(Texts.of(texts), policy)[0].strings


def one(text, **changes):
    return normalised([text], NormaliseSettings(**changes))[0]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("안녕ㅋㅋ", "안녕ㅋㅋ"),
        ("안녕ㅋㅋㅋㅋㅋㅋ", "안녕ㅋㅋ"),
        ("와하하하하하핫", "와하하핫"),
        ("ㅋㅋㅋㅋ쿠ㅜㅜㅜ", "ㅋㅋㅜㅜ"),
        ("쿠키와 우유", "쿠키와 우유"),
        ("1000000원", "1000000원"),
        ("3.5%", "3.5%"),
        ("www.aaa.com/0000", "www.aaa.com/0000"),
        ("정말!!!!!!!!", "정말!!!"),
        ("글쎄......", "글쎄..."),
        ("제목\n!!!!!!\n본문", "제목\n!!!!!!\n본문"),
        ("제목\n~~~~~~\n본문", "제목\n~~~~~~\n본문"),
        ("제목\n=====", "제목\n====="),
        ("ＡＢＣ１２３！", "ABC123!"),
        ("ﾡﾢ가", "ㄱㄲ가"),
        ("한\u200b글\ufeff", "한글"),
        ("a\u00a0b\u3000c", "a b c"),
        ("“인용” ‘안’", "\"인용\" '안'"),
        ("가\r\n나\r다\x0b라", "가\n나\n다\n라"),
        ("가\n\n\n\n\n나", "가\n\n나"),
        ("가   나\t다  \n  들여쓰기", "가 나\t다\n  들여쓰기"),
        ("\x00널\x07", "널"),
        ("👨‍👩‍👧 가족", "👨‍👩‍👧 가족"),
        ("각", "각"),
        ("각\u200b", "각"),
    ],
)
def test_known_cases(text, wanted):
    assert one(text) == wanted


def test_policies():
    assert one("ＡＢ", width="keep") == "ＡＢ"
    assert one("“가”", quotes="keep") == "“가”"
    assert one("㈜가나 ㎏ ㅋㅋ", compatibility="fold") == "(주)가나 kg ㅋㅋ"
    assert one("ㅋㅋㅋㅋㅋ하하하하", repeats=0) == "ㅋㅋㅋㅋㅋ하하하하"
    assert one("ㅋㅋㅋㅋㅋ", repeats=3) == "ㅋㅋㅋ"


def test_repairs_are_counted_by_document():
    _, repaired = normalise(Texts.of(["ㅋㅋㅋㅋ", "그대로", "Ａ\u200b"]), DEFAULT)
    assert sorted(repaired) == [(0, "repeats"), (2, "invisible"), (2, "width")]


korean = st.text(
    st.sampled_from("ㅋㅎㅜㅠ쿠후크하 가각\n\t !~.?=1aA\u200b\u200d\u00a0Ａ１ᄀ\u1161\u11a8\u0301é👨“"), max_size=40
)


@given(st.lists(st.one_of(korean, st.text(max_size=30)), max_size=4), st.sampled_from([0, 1, 2, 3]))
@settings(max_examples=300, deadline=None)
def test_idempotent_in_nfc_and_independent_of_the_batch(texts, repeats):
    policy = NormaliseSettings(repeats=repeats)
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    once = normalised(texts, policy)
    assert normalised(once, policy) == once
    assert once == [one(text, repeats=repeats) for text in texts]
    assert all(unicodedata.is_normalized("NFC", text) for text in once)


@pytest.mark.realdata
def test_decomposed_files_become_their_composed_originals(testdata):
    def texts(name):
        lines = (testdata / "bad_inputs" / name).read_text(encoding="utf-8-sig").splitlines()
        return [json.loads(line)["text"] for line in lines]

    assert normalised(texts("nfd.jsonl")) == normalised(texts("utf8_bom_crlf.jsonl"))
