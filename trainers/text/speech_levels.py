"""How a Korean sentence speaks to its hearer (상대 높임법): the level of each ending, and what only looks like one.

Four of the grammar's six levels are alive: 합쇼체, 해요체, 해라체 and 해체. Rules over the last word, without a
dictionary: nouns that end as a verb does are known by name (필요 is no 해요체, 바다 no 해라체), and what no rule knows
has no level. Endings and their levels as in 국립국어원, 표준국어대사전 (each ending's own entry).
"""

import re
import unicodedata
from enum import Flag, auto

from trainers.text.characters import SYLLABLES, syllables_ending_in
from trainers.text.sentence_rules import KEPT_WHOLE, split_by_rules


class Level(Flag):
    """A level of speech. `네` goes with two of them, which are then both set; no flag is set where none is shown."""

    FORMAL = auto()
    """합쇼체: 갑니다, 갑니까, 가십시오; also 갑시다, which the books call 하오체 but is said among 합쇼체."""
    POLITE = auto()
    """해요체: 가요, 가죠, 가세요, and whatever takes the particle 요 (저요, 세 개요)."""
    PLAIN = auto()
    """해라체: 간다, 가라, 가자, 가냐; of books and news, and among the close."""
    CASUAL = auto()
    """해체: 가, 가지, 갈게, 뭐야; 반말."""


NONE = Level(0)
HONORIFIC = (Level.FORMAL, Level.POLITE)
"""The levels that honour the hearer (존댓말)."""
LEVELS = {"polite": Level.POLITE, "formal": Level.FORMAL, "plain": Level.PLAIN | Level.CASUAL}
"""The data's names. Those who say 해체 also say 해라체 (밥 먹었어. 나 간다.): both are `plain`, and so is their mix."""
CHECKED_LEVELS = {"합쇼체": Level.FORMAL, "해요체": Level.POLITE, "해라체": Level.PLAIN}
"""The names in a benchmark's checks, which ask for one level of the grammar."""
MIXED, NO_LEVEL, NO_KOREAN = "mixed", "noun or other", "no Korean"
"""What `level_of` says of texts that keep no one level, show none, or have no Hangul syllable."""

_N, _L, _B, _SS = (syllables_ending_in(final) for final in (4, 8, 17, 20))  # ㄴ, ㄹ, ㅂ, ㅆ
# ㄲ ㄵ ㄶ ㄷ ㄺ ㄻ ㄼ ㅀ ㅄ ㅅ ㅈ ㅊ ㅌ ㅍ ㅎ before 어 or 아 are a verb's; nouns in 어 (한국어, 용어) have others.
_STEM = "".join(syllables_ending_in(final) for final in (2, 5, 6, 7, 9, 10, 11, 15, 18, 19, 22, 23, 25, 26, 27))

_MARKS = "?!.…~"
_END = f"[{_MARKS}]?\\Z"
_ANSWERS = {
    **dict.fromkeys(("네", "예", "아니요", "아뇨", "네네", "네에", "넵", "넹", "옙"), Level.FORMAL | Level.POLITE),
    **dict.fromkeys(("응", "어", "아니", "그래"), Level.CASUAL),
}
"""Words that answer alone. 네, 예 and 아니요 honour the hearer and stand beside 합쇼체 and 해요체 alike."""
_EXCLAMATIONS = ("아", "오", "음", "저")

_CONNECTIVE = (
    f"[{_STEM}{_L}][어아]",
    "(?:먹|적|죽|찍|썩|익|식|신|숨|품|심|굶|젊|입|씹|집)어|되어",
    "(?:막|작|녹|속|안|남|참|담|감|닮|잡|좁|뽑)아",
    "[해돼봐줘둬춰켜겨쳐져혀워꿔뤄눠]",
    "(?<!\\S)(?:가|와|써|커)",  # `s`가 is a particle
    "(?:들어|돌아|나|가져|올라|다녀|데려|찾아)와",
    "(?:아|고)파|바빠|나빠|예뻐|이뻐|슬퍼|기뻐|비싸|끝내|보내|꺼내|(?:떠|만|타|어|각|화|증)나",
    "(?:불|흘|눌|들|둘|굴)러|(?:몰|달|골|올|빨|발|잘|놀)라",
    "(?:버|걸|그|빌|느|때|드|내|올|돌|달|흘|알|살|말|풀|들|다|눌|늘)려",
    "(?:보|쓰|모|놓|쌓|속|줄|높|붙|죽|들|벌)여",
    f"[{_L}]게",
    f"[{_N}]데|니까|[{SYLLABLES}][다라냐자]고",
    "(?:하|그렇|좋|이|겠|많|크|같|없|있|되|싶|맞|알|않|아니|거|말|야|살)지",
)
"""Endings of 해체 that also join a clause to the next: 해 (보세요), 하지 (않습니다), 좋은데 (...)."""
_ENDINGS = tuple(
    (level, re.compile(f"(?:{'|'.join(endings)}){_END}"))
    for level, endings in (
        # Without ㅂ they are others: 다니다 is a dictionary's form, 바쁘니까 means "because".
        (Level.FORMAL, (f"[{_B}](?:니다|니까|시다)", "시오", "십쇼", f"[{SYLLABLES}]소서")),
        (Level.POLITE, ("요", "죠")),
        (
            Level.PLAIN,
            (
                "다",
                "[어아여거너해하봐와줘워져켜려돼내쳐마말가보주오으더리노니]라",
                "냐",
                "[구꾸]나",
                "[으하보주가오해]렴",
                "려무나",
                "니(?=\\?)",  # 어디 가니?; without the mark it is mostly "as", or a noun
                "\\b(?:가|보|오|주|사)자",
                "[아어해려와]\\s?(?:보|가|주|두|오|내|버리)자",
                # Most nouns in 자 are persons (사용자), so verbs are named.
                "(?:하|먹|말|놀|만들|읽|듣|걷|되|잡|찾|받|않|앉|있|잊|믿|웃|씻|쓰|만나|나누|지키|즐기|기다리|마시)자",
                "(?:나가|떠나|시작하|움직이|시키)자",
            ),
        ),
        (
            Level.CASUAL,
            (
                *_CONNECTIVE,
                f"[{_SS}](?:어|지|네|군|나|대)",
                f"[{_L}](?:까|래|걸)",
                f"[{_N}]걸",
                "(?:하|그렇|좋|이|겠|많|크|같|없|있|되|싶)(?:군|네)|(?:가|오|보|나|주)네",
                "는군|더군|거든|어때|\\b그래",
                "(?<![해어아여래와워])야",  # 해야 is "must"
            ),
        ),
    )
)
"""The first that fits is the level."""
_MAY_GO_ON = re.compile(f"(?:(?<![{_B}][니시])다|{'|'.join(_CONNECTIVE)})\\Z")

_NOUNS = re.compile(
    "(?:"
    "(?:필요|중요|긴요|민요|강요)"
    f"|\\b(?:수요|주요|소요|동요|고요|요요|노동요|농요|[일월화목금토]요)|[{SYLLABLES}]{{2}}(?:수요|동요)"
    # After a number 개 is a counter (세 개요). 가요 is the verb behind all but a kind of song (학교에 가요), and alone
    # with a mark: a noun is no sentence.
    "|(?<![\\d한두세네섯곱덟홉열몇무른흔순])(?<![\\d한두세네섯곱덟홉열몇무른흔순] )개요"
    "|(?:대중|인기|국민|최신|전통|유행|고려|한국) ?가요|\\A가요\\Z"
    # An ending without a stem, which a model paid for politeness soon says and nothing else.
    "|(?<!\\S)(?:습니다|습니까|니다|니까|세요|어요|아요|네요|군요|지요|까요|요|죠)"
    "|바다|소다|판다|캐나다|베란다|우간다|르완다|람다|혼다|[아어]젠다|플로리다|네바다"
    "|마다|에다|\\b다|(?<![아어해려여와쳐펴라다돌엿 ])보다"  # particles; 살펴보다 is a verb
    "|사하라|아니라|케냐|누구나"
    "|(?:어|할|주|아주)머니|언니"
    "|목적어|수식어|독일어|몽골어|벵골어|네팔어|활어|갈어"
    "|(?:이|오|피|손|방|재|침|양|화|견|저|살|박|폐|항|공|융|지난|이듬|다음)해|남중국해|지중해"
    # Of these some are also verbs' ends: 이상해, 못해.
    "|\\b(?:올|새|첫|한|그|동|서|남|북|홍|흑|발|근|심|상|분|독|유|무|금|장|수|자|음|진|김)해"
    "|(?:분|시|광|평|심|임|전|황|초|산|제|재)야"
    "|(?:페|베|메|세|게|테)이지"
    "|가운데|군데|그런데|근데"
    "|빨래|몰래|달래|갈래|파워|샤워|타워|아워|플라워|팔로워"
    f"){_END}"
)
"""What ends as a verb does and is a noun, an adverb or no word at all."""

_WORD = re.compile(f"[{SYLLABLES}]+")
_OTHER_WORD = re.compile("[A-Za-z0-9]{4}")
"""After the last Korean word: the sentence ends in another language, or in an address."""
_JOINED = re.compile(f"[{SYLLABLES}]\\s*[,:]\\s*\\Z")
_PARAGRAPHS = re.compile("\n\\s*\n")
_FULL_WIDTH = str.maketrans("？！。", "?!.")


def sentence_level(sentence: str) -> Level:
    """The level that one sentence shows by its last Korean word; NONE where it shows none.

    What follows the word (marks, laughter, emoticons, closing quotes) takes nothing away. What is quoted or in
    brackets inside a sentence is not said to its hearer and does not count; a sentence that is all quote is its own.
    Nominal endings (했음, 확인함), nouns, headings and other languages show no level.
    """
    unquoted = KEPT_WHOLE.sub(" ", sentence)
    if not _WORD.search(unquoted):
        unquoted = sentence
    level = _level_of_last_word(unquoted)
    if level and not (level is Level.CASUAL and _JOINED.search(unquoted)):
        return level
    # Turned round, the end stands before a comma: 고맙습니다, 선생님. One in 해체 may go on as well (바쁘니까, ...).
    turned = _level_of_last_word(unquoted.rpartition(",")[0])
    return NONE if turned is Level.CASUAL else turned


def _level_of_last_word(sentence: str) -> Level:
    words = _WORD.findall(sentence)
    if not words:
        return NONE
    if words[-1] in _ANSWERS and all(word in _ANSWERS or word in _EXCLAMATIONS for word in words):
        return _ANSWERS[words[-1]]
    end = sentence.rindex(words[-1]) + len(words[-1])
    rest = sentence[end:].translate(_FULL_WIDTH)
    clause = sentence[:end].lstrip() + next((mark for mark in _MARKS if mark in rest), "")
    if _NOUNS.search(clause) or _OTHER_WORD.search(rest):
        return NONE
    return next((level for level, ending in _ENDINGS if ending.search(clause)), NONE)


def sentence_levels(text: str) -> list[Level]:
    """Of each sentence that shows a level, which; others (a heading, `123`, a line of code) break none."""
    paragraphs = _PARAGRAPHS.split(unicodedata.normalize("NFC", text))
    pieces = (piece for paragraph in paragraphs for piece in _ended(split_by_rules(paragraph)))
    return [level for level in map(sentence_level, pieces) if level]


def _ended(pieces: list[str]) -> list[str]:
    """The pieces of a paragraph but those that may go on, on the same line (쉬었다 가세요) or on the next."""
    return [*(piece for piece in pieces[:-1] if not _MAY_GO_ON.search(piece)), *pieces[-1:]]


def keeps(text: str, wanted: Level) -> bool:
    """True where the text shows a level, and each sentence that shows one has one of the wanted levels."""
    levels = sentence_levels(text)
    return bool(levels) and all(level & wanted for level in levels)


def level_of(text: str) -> str:
    """The level that the whole text keeps, by the data's name; else MIXED, NO_LEVEL or NO_KOREAN."""
    if levels := sentence_levels(text):
        return next((name for name, wanted in LEVELS.items() if all(level & wanted for level in levels)), MIXED)
    return NO_LEVEL if _WORD.search(unicodedata.normalize("NFC", text)) else NO_KOREAN


def politeness(text: str) -> float:
    """How far a text keeps one of the levels that honour: the share of its sentences on the better kept of the two.

    1 exactly where it keeps 합쇼체 or 해요체 throughout. People do mix the two, but what is asked of an answer is one
    level (`honorific_prompts`, the check `level`): a mix that earned 1 would be trained and then fail the check.
    """
    levels = sentence_levels(text)
    if not levels:
        return 0.0
    return max(sum(bool(level & wanted) for level in levels) for wanted in HONORIFIC) / len(levels)
