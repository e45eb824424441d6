"""Our sentence splitter: cases, properties, and its score beside kss's on kss's own public test sets."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.contract.settings import KSS_TESTSET
from trainers.text.sentence_rules import sentence_starts, split_by_rules

TESTSET = KSS_TESTSET.get()


@pytest.mark.parametrize(
    "sentences",
    [
        ["비가 왔다.", "우산을 챙겼다!", "그런데 왜 젖었지?"],
        ["회사 동료와 다녀왔는데 맛있었어요", "건물에 간판이 없으니 조심하세요", "다음에 또 갈게요ㅎㅎ", "끝입니다"],
        ["이것은 3.5% 올랐고 2024. 3. 5. 기준이다.", "J. K. 롤링은 작가다."],
        ['그는 "비가 온다. 우산을 챙겨라."라고 말했다.', "나는 (그때는 몰랐다. 정말이다) 웃었다."],
        ['"왜 울고 있니?" 침착한 하마가 물었어요.', '"안경을 잃어버렸어."', "그날은 추웠어요."],
        ["“절망한 자는 대담해진다. 법이다” 라는 구절이다.", "정말 좋다고 생각했다 라고 적었다."],
        ["최초의 선수가 되었다.[2]", "1월 6일에 경기가 열렸다.[3][4]", "끝났다."],
        ["그런데..... 양이.... 많았다.", "배가 부르다...", "돌아왔다."],
        ["He came home. She left."[:13], "She left.", "Mr. Kim met Dr. Lee."],
    ],
)
def test_sentences(sentences):
    assert split_by_rules(" ".join(sentences)) == sentences


def test_a_full_stop_without_a_space_and_lines():
    assert split_by_rules("기록이었다.한편 그는 졌다.\n제목\n\n본문") == [
        "기록이었다.",
        "한편 그는 졌다.",
        "제목",
        "본문",
    ]


@given(st.text(st.sampled_from("가다요. !?…\n\"'“”()[]1ㅋㅠ~a니까음"), max_size=80))
def test_nothing_is_lost_and_splitting_twice_is_splitting_once(text):
    sentences = split_by_rules(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() != "" for sentence in sentences)
    assert sentence_starts(text) == sorted(set(sentence_starts(text)))


@pytest.mark.parametrize("piece", ["ㅋ", ".", '"', "(", "다. ", "[1]", "^^", "\n", "…"])
def test_time_grows_with_the_length_whatever_the_text(piece):
    began = time.process_time()
    sentence_starts(piece * (60_000 // len(piece)))
    assert time.process_time() - began < 2


def boundaries(sentences):
    """Where sentences end, counted in characters that are no space."""
    ends, at = set(), 0
    for sentence in sentences:
        at += len("".join(sentence.split()))
        ends.add(at)
    return ends - {at}


def f1(texts, splits):
    """Of the boundaries of all texts together."""
    right = wanted = proposed = 0
    for sentences, split in zip(texts, splits, strict=True):
        gold, ours = boundaries(sentences), boundaries(split)
        right, wanted, proposed = right + len(gold & ours), wanted + len(gold), proposed + len(ours)
    return 2 * right / (wanted + proposed)


@pytest.mark.slow
@pytest.mark.skipif(not TESTSET, reason=f"{KSS_TESTSET.name} names no folder (kss: bench/sentence_split/testset)")
@pytest.mark.parametrize("name", ["blogs_ko", "blogs_lee", "nested", "sample", "tweets", "v_ending", "wikipedia"])
def test_the_rules_are_at_least_as_good_as_kss_on_its_test_sets(name, record_property):
    import kss

    paragraphs = (TESTSET / f"{name}.txt").read_text(encoding="utf-8").strip().split("\n\n")
    texts = [paragraph.strip("\n").split("\n") for paragraph in paragraphs]
    joined = ["".join(sentences) for sentences in texts]
    scores = {
        "rules": f1(texts, [split_by_rules(text) for text in joined]),
        "kss": f1(texts, [kss.split_sentences(text, backend="fast", num_workers=1) for text in joined]),
    }
    print(f"{name}: " + ", ".join(f"{who} {score:.4f}" for who, score in scores.items()))
    record_property("f1", scores)
    assert scores["rules"] >= scores["kss"]
