"""What is known of Korean has one definition: tables of texts, each through every user of it, and all agree."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from tests.support.scripted_replies import Replies
from trainers.benchmarks.checks import Check
from trainers.benchmarks.formats import Instruction, Suite
from trainers.contract.recipe.alignment import SamplingSettings, StopRules
from trainers.conversations.columns import INSTRUCTION, values_of
from trainers.conversations.instructions import conversation
from trainers.conversations.quality import honorifics
from trainers.corpus.command import _split_by_rules
from trainers.evaluation.measures import measure_behaviour, measure_suite
from trainers.text.characters import Texts
from trainers.text.filters import _NGRAM, languages, measure
from trainers.text.languages import ENGLISH_DOCUMENT, KEPT, KOREAN_DOCUMENT, drifts, language_share
from trainers.text.repetition import LOOP, loops, repeated_share, repetition, words
from trainers.text.sentence_rules import ends_sentence, split_by_rules
from trainers.text.speech_levels import CHECKED_LEVELS, LEVELS, Level, level_of, sentence_level, sentence_levels
from trainers.training.alignment.hacking import HackingWatch
from trainers.training.alignment.rewards import reward_functions
from trainers.training.data.packing import sentence_ends
from trainers.training.data.rendering import with_level

ROOT = Path(__file__).parents[3]
NFD = unicodedata.normalize("NFD", "안녕히 가십시오.")
MEANING = {  # what a text shows -> the data's name, the reward, the checks that hold
    "합쇼체": ("formal", 1, {"합쇼체"}),
    "해요체": ("polite", 1, {"해요체"}),
    "네": ("polite", 1, {"합쇼체", "해요체"}),  # stands beside both
    "해라체": ("plain", 0, {"해라체"}),
    "해체": ("plain", 0, set()),  # 반말, as 해라체 is; the check asks for 해라체 alone
    "섞임": ("mixed", 0.5, set()),
    "없음": ("noun or other", 0, set()),
    "한글 없음": ("no Korean", 0, set()),
}
LEVEL_TABLE = {
    "합쇼체": (
        "감사합니다", "감사합니다 :)", "감사합니다(웃음)", "갑니다!!!", "갑니다~", "갑니다 ㅠㅠ", "고맙습니다♡",
        "「갑니다」", "고맙습니다, 선생님.", "안녕하십니까", "안녕하십니까? 저는 하늘이라고 합니다.",
        "선생님, 안녕히 가십시오",
        "여기로 오시오.", "우리 함께 알아봅시다.", "주여, 들으소서.", "네. 갑니다.",
        "저는 한국어를 배웁니다. 그리고", "오늘은 날씨가 좋습니다!\n1. 산책", "다음과 같습니다.\n- 사과\n- 배",
        "파이썬 3을 먼저 설치합니다 (pip).", NFD,
        "한번 시도해\n봅니다.", "그렇게 하지\n않습니다.", "예를 들어,\n다음과 같습니다.\n| 좋은 예 |",
    ),
    "해요체": (
        "좋네요 ㅎㅎ", "그렇군요", "맞아요!", "이렇게 하시지요.", "어서 오세요", "그건 사과야요", "갈까요",
        "갈까요？", "도와 드릴게요", "고마워요 😊", "정말 좋아요^^", "좋은 하루 되세요 ^_^", "네, 알겠어요.",
        "그러죠, 뭐.", "왜요?", "빨리요~", "저요!", "사과 세 개요.", "필요해요", "중요해요.", "학교에 가요.", "가요!",
        "가수가 꿈이에요", '"안녕하세요."', '그가 "갑니다"라고 했어요.', "바쁘니까요", "잠시 쉬었다 가세요.",
        "알겠습니다요", "아니요, 괜찮아요.",
    ),
    "네": (
        "네.", "네?", "예", "아니요", "아뇨!", "네, 서울.", "아, 네!",
    ),
    "해라체": (
        "비가 온다. 우산을 써라.", "밥을 먹자", "한번 해 보자!", "가렴", "어디 가니?", "너 뭐 하냐", "가자꾸나",
        "하늘이 아름답구나!", "바다. 하늘이 푸르다", '그는 "가요"라고 말했다.', '"뭐야?" 그가 물었다.',
        "그는 물을 마시다 갑니다라는 말을 들었다.", "다시는 그러지 마라.", "다니다",
    ),
    "해체": (
        "했어", "뭐야", "그래", "응.", "밥 먹었어?", "그럴 리가 없지", "어떻게 할까", "갈게", "배고파", "사랑해",
        "정말 좋아 ㅋㅋ", "바쁘니까.", "그렇잖아", "어때?", "왜 그래?", "좋은데", "이상해", "밥 먹었어. 나 간다.",
    ),
    "섞임": (
        "반갑습니다. 잘 지내세요?", "도와 드릴게요! 근데 바빠.", "비가 온다. 우산을 챙기세요.", "갑니다.\n가요.",
        "밥 먹었어\n갑니다.",
    ),
    "없음": (
        "필요", "중요", "수요", "전력 수요", "주요 원인은 필요", "개요", "사업 개요", "소요", "강요", "동요",
        "가요", "인기 가요", "민요", "서울", "바다", "우리나라", "사용자", "한국어", "이해", "할머니?", "동네",
        "가운데", "아버지", "분야", "누구나", "확인함", "밥을 먹었음.", "해야", "학교에서", "지난해",
        "바쁘니까, 나중에", "무엇보다", "좋은 예",
        "예를 들어:", "습니다.", "요!", "변수 `s`가",
    ),
    "한글 없음": (
        "123", "12 + 3 = 15", "Thank you.", "ㅋㅋㅋ", ":)", "東京",
    ),
}  # fmt: skip
ROWS = [(text, shown) for shown, texts in LEVEL_TABLE.items() for text in texts]


def assistant(text):
    return {"role": "assistant", "content": text}


def rewarded(name, text):
    """What the reward of this name gives the text, as TRL asks for it."""
    (function,) = reward_functions(SamplingSettings(rewards=(name,)))
    return function(prompts=[[{"role": "user", "content": "?"}]], completions=[[assistant(text)]])[0]


def gate_rows(texts, **check):
    """Per text what the evaluation measures of it as the reply to an instruction with this check."""
    user = [{"role": "user", "content": "시킨 대로 답하세요."}]
    items = [Instruction(id=str(n), messages=user, checks=[check]) for n in range(len(texts))]
    rows = measure_suite(Replies(texts), Suite("follow", "instruction", items))
    return [row.value for row in rows if row.suite == f"follow/{check['kind']}"]


def behaviour(text):
    """(loops, drifts) as the gate counts them."""
    rows = measure_behaviour([("p", "무엇을 먹을까요?")], [text])
    return tuple(bool(row.value) for row in rows)


def test_the_table_of_levels_is_large_and_its_texts_are_unlike():
    assert len({text for text, _ in ROWS}) == len(ROWS) >= 100


@pytest.mark.parametrize(("text", "shown"), ROWS)
def test_data_reward_and_check_see_the_same_level(text, shown):
    name, reward, held = MEANING[shown]
    assert level_of(text) == name
    assert honorifics([{"messages": [assistant(text)]}]) == {name: 1}
    assert rewarded("honorific", text) == reward
    checks = {level for level in CHECKED_LEVELS if Check(kind="level", value=level).holds(text)}
    assert checks == held
    # What training rewards in full is what data call by a level that honours, and what a check of one lets pass.
    assert (reward == 1) == (name in ("formal", "polite")) == bool(checks & {"합쇼체", "해요체"})


@pytest.mark.parametrize("level", CHECKED_LEVELS)
def test_the_evaluation_measures_the_level_that_the_table_says(level):
    texts = [text for text, _ in ROWS]
    measured = gate_rows(texts, kind="level", value=level)
    assert measured == [float(level in MEANING[shown][2]) for _, shown in ROWS]


@pytest.mark.parametrize(("text", "shown"), ROWS)
def test_a_conversation_gets_the_line_of_the_level_that_its_answers_keep(text, shown):
    name = MEANING[shown][0]
    prompts = {level: f"{level}로 답하세요." for level in LEVELS}
    talk = [{"role": "user", "content": "?"}, assistant(text)]
    rendered = with_level(talk, None, prompts)
    if name in LEVELS:
        assert rendered == [{"role": "system", "content": prompts[name]}, *talk]
        landed = values_of({"messages": talk, "honorific": name}, INSTRUCTION, {})
        assert conversation(landed)["honorific"] == name
    else:
        assert rendered is talk


@pytest.mark.parametrize(("text", "shown"), ROWS)
def test_only_text_in_other_letters_drifts(text, shown):
    expected = text in ("Thank you.", "東京")
    assert behaviour(text)[1] == drifts(text) == expected
    assert Check(kind="language", value="ko").holds(text) == (not expected)
    assert (level_of(text) == "no Korean") == (shown == "한글 없음")


def test_empty_lines_take_nothing_away():
    assert level_of("\n감사합니다\n\n") == "formal"
    assert level_of("") == "no Korean" and rewarded("honorific", "") == 0


def test_the_levels_of_a_text_are_those_of_its_sentences_in_order():
    assert sentence_levels("네. 갑니다. 제목\n좋아요? 간다. 끝") == [
        Level.FORMAL | Level.POLITE,
        Level.FORMAL,
        Level.POLITE,
        Level.PLAIN,
    ]
    assert rewarded("honorific", "갑니다. 옵니다. 가요. 간다.") == 0.5


@pytest.mark.realdata
def test_levels_agree_with_what_people_tagged(testdata):
    """The last sentence of each of KLUE's 2,000: 99% as the morpheme says that ends it."""
    tagged = dict(_sentence_and_ending(testdata / "eval/klue/klue-dp-v1.1_dev.tsv"))
    wrong = {text: level for text, level in tagged.items() if sentence_level(split_by_rules(text)[-1]) != level}
    assert len(tagged) > 1900 and len(wrong) < len(tagged) / 100, wrong


def _sentence_and_ending(path):
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        lines = block.splitlines()
        text = next((line.split("\t")[1] for line in lines if line.startswith("## klue")), None)
        rows = [line.split("\t") for line in lines if line[:1].isdigit()]
        parts = [pair for row in rows for pair in zip(row[2].split(), row[3].split("+"), strict=False)]
        ending = next(((form, tag) for form, tag in reversed(parts) if not tag.startswith("S")), ("", ""))
        if text is None or ending[1] not in ("EF", "NNG", "NNP", "ETN", "JX"):
            continue
        if ending[1] in ("EF", "JX") and ending[0].endswith("요"):
            yield text, Level.POLITE
        elif ending[1] == "EF" and ending[0].endswith(("니다", "시오", "시다")):
            yield text, Level.FORMAL
        elif ending[1] == "EF" and ending[0].endswith(("다", "라", "자")):
            yield text, Level.PLAIN
        elif ending[1] in ("NNG", "NNP", "ETN"):
            yield text, Level(0)


SHARES = (  # text, share of Hangul, share of Latin
    ("안녕하세요", 1, 0),
    ("hello", 0, 1),
    ("안녕 ab", 0.5, 0.5),
    ("東京 서울", 0.5, 0),
    ("좋아요 ㅋㅋㅋ", 1, 0),
    ("저는 GPU를 좋아합니다.", 8 / 11, 3 / 11),
    ("Seoul is the capital of Korea (서울).", 2 / 26, 24 / 26),
    ("GPT-4와 BERT를 비교합니다", 7 / 14, 7 / 14),
    ("Привет, 세계", 0.25, 0),
    (NFD, 1, 0),
    ("서울의 x\u0302", 3 / 4, 1 / 4),  # no letter has this circumflex in it: the mark stays free, and is no letter
    ("123 !?", None, None),
    ("", None, None),
)


@pytest.mark.parametrize(("text", "korean", "english"), SHARES)
def test_reward_check_gate_and_filters_see_the_same_language(text, korean, english):
    assert (language_share(text, "ko"), language_share(text, "en")) == (korean, english)
    # No letters, no share: the reward judges nothing (None adds nothing), and no language is left.
    assert rewarded("language", text) == korean
    leaves = korean is not None and korean < KEPT
    assert behaviour(text)[1] == drifts(text) == leaves
    if text:
        assert Check(kind="language", value="ko").holds(text) == (not leaves)
        assert Check(kind="language", value="en").holds(text) == (not drifts(text, "en"))
    documents = measure(Texts.of([text]))
    assert documents.share("hangul", "letters")[0] == (korean or 0)
    assert documents.share("latin", "letters")[0] == (english or 0)
    wanted = "ko" if (korean or 0) >= KOREAN_DOCUMENT else "en" if (english or 0) >= ENGLISH_DOCUMENT else "other"
    assert languages(documents) == [wanted]


LAST_SENTENCES = (  # text; does the splitter see its end, is it whole to the reward, is it an ended line to the filters
    *(
        (text, True, True, True)
        for text in (
            "감사합니다 :)", "좋아요~", '"네, 알겠습니다."', "갑니다。", "감사합니다! 😊", "좋네요 ㅎㅎ", "정말요？",
            "맞아요!", "어서 오세요！", "그는 돌아왔다...", "최초의 선수가 되었다.[2]", "「갑니다.」", "사과ㅋㅋ",
            "정말 좋아요^^", "고마워요😊", "그렇습니다…", "(그때는 몰랐습니다.)", "‘정말 그랬다.’",
        )
    ),
    *((text, False, False, False) for text in ("서울과 부산", "오늘은 날씨가", "다음과 같습니다:", "50%", " ")),
    ("네, 좋습니다", True, False, False),  # an ending without a mark: another may follow, or the text is cut off
    ("정답은 15.", False, True, True),  # before more text it may be a date or a number in a list
    ("서울 (수도)", False, False, True),  # the compiled pass sees the last character alone
    ("「갑니다」", False, False, True),
    ("행복하다면 ㅋ", False, False, True),
)  # fmt: skip


@pytest.mark.parametrize(("text", "splits", "whole", "ended"), LAST_SENTENCES)
def test_splitter_reward_and_filters_see_the_same_end_of_a_sentence(text, splits, whole, ended):
    assert (len(split_by_rules(f"{text} 오늘은 비가 옵니다.")) > 1) == splits
    assert ends_sentence(text) == ends_sentence(f"{text}\n") == whole
    assert rewarded("format", text) == whole
    assert measure(Texts.of([text])).count("ended_lines")[0] == ended


REPETITIONS = (  # text, least and most of its repetition
    ("", 0, 0),
    ("네", 0, 0),
    ("하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉", 0, 0),
    ("나는 밥을 먹고 학교에 가서 친구를 만났다. 친구는 밥을 먹고 왔다고 했다.", 0, 0),
    ("밥을 먹었습니다. 물을 마셨습니다.", 0, 0),
    ("정말 정말 정말 좋아요", 0, 0),
    ("천만 원은 10,000,000원입니다.", 0, 0),
    ("정말 재미있어요 그렇죠 ㅋㅋㅋㅋㅋㅋㅋ", 0.1, LOOP),
    ("| 이름 | 값 |\n|------|------|\n| 사과는 | 천 원입니다 |\n| 배는 | 이천 원입니다 |", 0.01, LOOP),
    ("나는 밥을 먹고 나는 밥을 먹고 나는 밥을 먹고 나는 밥을 먹고", 0.6, 0.7),
    ("네 네 네 네 네 네 네 네 네 네 네 네", 0.8, 0.95),
    ("네, 네, 네, 네, 네, 네, 네, 네.", 0.7, 0.95),
    ("아 아 아 아 아 아", 0.8, 0.9),
    ("ㅋㅋㅋㅋㅋㅋㅋ", 0.7, 0.9),
    ("그래서그래서그래서그래서그래서그래서그래서", 1, 1),
    (
        "값을 모두 비우면 이렇게 됩니다: [null, null, null, null, null, null, null, null]. 나머지도 비웁니다.",
        0.3,
        0.6,
    ),
    (" ".join(f"낱말{n}" for n in range(60)) + " 그래서그래서그래서그래서그래서그래서", 1, 1),
)


@pytest.mark.parametrize(("text", "least", "most"), REPETITIONS)
def test_reward_watch_and_gate_see_the_same_repetition(text, least, most):
    measured = repetition(text)
    assert least <= measured <= most
    assert rewarded("repetition", text) == 1 - measured
    assert HackingWatch(StopRules()).reward()([], [[assistant(text)]]) == [measured]
    assert loops(text) == behaviour(text)[0] == (measured > LOOP)


@pytest.mark.parametrize(
    "text",
    [
        *(text for text, _, _ in REPETITIONS),
        "가을 하늘이 높다. " * 7,
        " ".join(f"{n % 11}번, 다음!" for n in range(80)),
        "é1ㅋ 한a_b -- 끝\n" * 9,
    ],
)
def test_the_filters_count_the_same_words_and_repeats_of_documents(text):
    documents = measure(Texts.of([text]))
    assert documents.count("words")[0] == len(words(text))
    assert documents.share("repeated_ngrams", "ngrams")[0] == pytest.approx(repeated_share(words(text), _NGRAM))


SENTENCES = (
    ["하나.", "둘!", "셋…"],
    ["비가 온다.", "우산을 써라!"],
    ["갈까요, 갑니까?"],
    ["다음에 또 갈게요ㅎㅎ", "어서 오세요"],
    ["이것은 3.5% 올랐다.", "왜 그럴까?"],
    ['그는 "비가 온다. 우산을 챙겨라."라고 말했다.', "나는 웃었다."],
    ["1. 물", "2. 불"],
    ["Mr. Kim met Dr. Lee.", "They left."],
)


@pytest.mark.parametrize("sentences", SENTENCES)
def test_check_command_and_packing_see_the_same_sentences(sentences):
    text = ("\n" if sentences[0][0].isdigit() else " ").join(sentences)
    assert split_by_rules(text) == sentences
    assert _split_by_rules([text]) == [sentences]
    assert Check(kind="sentences", value=len(sentences)).holds(text)
    assert not Check(kind="sentences", value=len(sentences) + 1).holds(text)
    assert gate_rows([text], kind="sentences", value=len(sentences)) == [1]
    begins = sentence_ends(text, np.arange(len(text)))
    assert len(begins) == len(sentences) - 1
    assert all(text[at:].lstrip().startswith(begun) for at, begun in zip(begins, sentences[1:], strict=True))


def test_no_other_file_knows_what_hangul_or_a_sentence_is():
    """A second definition begins with a range of its own, or with a pattern that cuts at marks."""
    private = ("가-힣", '"가" <=', "[^.!?", "[^.?!", "uac00", "0xAC00")
    home = ROOT / "trainers/text"
    sample = ROOT / "trainers/sample"  # joins particles to words
    others = [path for path in (ROOT / "trainers").rglob("*.py") if not {home, sample} & {*path.parents}]
    assert len(others) > 70
    assert [path.name for path in others if any(sign in path.read_text(encoding="utf-8") for sign in private)] == []
    assert [path.name for path in home.glob("*.py") if "가-힣" in path.read_text(encoding="utf-8")] == ["characters.py"]
