"""Preference pairs: a polite answer to the point against a rude, a familiar or a wandering one."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from trainers.sample.grammar import Grammar
from trainers.sample.split import is_held_out
from trainers.sample.vocabulary import listed, words


@dataclass(frozen=True)
class SamplePair:
    """A prompt, the answer that people prefer, and the one they do not."""

    task: str
    prompt: str
    chosen: str
    rejected: str


# Topic -> (slot that is asked about, ways to ask, good answers, familiar answers to the point)
_TOPICS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "choose": (
        "{물건}",
        ("[것]{을} 고르는 방법을 알려 주세요.", "좋은 [것]{을} 사고 싶어요. 어떻게 고를까요?"),
        (
            "네, [것]{을} 고르실 때는 값과 쓰임새를 함께 살펴보세요.",
            "[것]{은} 튼튼하고 가벼운 것을 고르시면 좋습니다.",
        ),
        ("[것]{은} 그냥 싼 거 아무거나 사면 되잖아.", "야, [것] 고르는 게 뭐가 어렵냐? 대충 사."),
    ),
    "cook": (
        "{요리}",
        ("[것] 만드는 법을 알려 주세요.", "[것]{을} 맛있게 만들고 싶어요."),
        (
            "네, [것]{은} 먼저 재료를 씻고 {십수}분 동안 끓이시면 됩니다.",
            "[것]{을} 만드실 때는 {양념}{으로} 간을 맞추시면 맛있습니다.",
        ),
        ("[것]{은} 대충 아무거나 넣고 끓이면 되잖아.", "야, [것]{은} 만들지 말고 그냥 사 먹어."),
    ),
    "way": (
        "{장소}",
        ("[것]에 가려면 어떻게 해야 하나요?", "[것]까지 가는 길을 알려 주세요."),
        (
            "네, [것]에 가시려면 {탈것}{을} 타고 {십수}분쯤 가시면 됩니다.",
            "[것]{은} 큰길을 따라 {십수}분 걸어가시면 나옵니다.",
        ),
        ("[것]{은} 저쪽이야. 지도 보고 그냥 가면 되잖아.", "야, [것]도 몰라? 택시 타고 가."),
    ),
    "sport": (
        "{운동}",
        ("[것]{을} 시작하고 싶어요.", "[것]{을} 잘하려면 어떻게 해야 하나요?"),
        (
            "좋은 생각입니다. [것]{은} 하루 {십수}분부터 천천히 시작해 보세요.",
            "[것]{은} 기본자세를 먼저 익히시면 빨리 늡니다.",
        ),
        ("[것]{은} 그냥 하면 되잖아. 뭘 자꾸 물어.", "야, 너는 [것] 못 하니까 그냥 하지 마."),
    ),
    "keep": (
        "{과일}, {채소}",
        ("[것]{을} 오래 보관하는 방법이 있나요?", "[것]{은} 어디에 두는 것이 좋을까요?"),
        (
            "네, [것]{은} 종이에 싸서 서늘한 곳에 두시면 오래갑니다.",
            "[것]{은} 물기를 닦고 냉장고에 넣어 두시면 좋습니다.",
        ),
        ("[것]{은} 아무 데나 두면 되잖아. 별거 아니야.", "야, [것]{은} 그냥 빨리 먹어 버려."),
    ),
    "learn": (
        "{악기}, {과목}",
        ("[것]{을} 배우고 싶은데 어떻게 할까요?", "[것] 공부를 도와주실 수 있나요?"),
        (
            "물론입니다. [것]{은} 날마다 조금씩 익히시는 것이 가장 좋습니다.",
            "네, [것]{은} 쉬운 것부터 차근차근 함께 해 보겠습니다.",
        ),
        ("[것]{은} 혼자 해. 나는 안 도와줄 거야.", "야, [것]{은} 어려워서 너는 못 해. 그만둬."),
    ),
    "gift": (
        "{가족}, {친구}",
        ("[것]에게 무슨 선물을 하면 좋을까요?", "[것]에게 줄 선물을 추천해 주세요."),
        (
            "[것]에게는 {물건}{이나} {옷}{을} 선물해 보세요. 기뻐하실 것입니다.",
            "네, [것]{이} 좋아하시는 {과일}{을} 예쁘게 담아 드리면 좋습니다.",
        ),
        ("[것]한테는 돈이나 주면 되잖아.", "야, [것]한테 무슨 선물이야? 안 줘도 돼."),
    ),
}
# [것] is what was asked about: as long as a good answer, so that length alone does not tell them apart.
_RUDE = (
    "[것]? 그걸 왜 나한테 물어? 네가 알아서 찾아봐.",
    "몰라. [것] 얘기는 귀찮으니까 다른 데 가서 물어봐.",
    "아까도 말했잖아. [것]{은} 네가 알아서 해.",
    "바빠. [것] 같은 건 관심 없으니까 묻지 마.",
)


def pairs(seed: int, count: int, held_out: bool) -> list[SamplePair]:
    """`count` pairs, one per prompt (fewer where there are not so many); training and held-out prompts never meet."""
    rng = random.Random(f"{seed}/preferences/{held_out}")
    grammar = Grammar(words(), rng)
    entries = [entry for entry in _questions() if is_held_out(entry[1]) == held_out]
    return [_pair(grammar, *entry) for entry in rng.sample(entries, min(count, len(entries)))]


def _questions() -> Iterator[tuple[str, str, str]]:
    """Every (topic, prompt, what it is about)."""
    # The slots' own words only: what they draw from must not depend on a seed.
    fixed = Grammar({}, random.Random(0))
    for topic, (slots, ways, _, _) in _TOPICS.items():
        for slot in listed(slots):
            for thing in _every_word(slot):
                for way in ways:
                    yield topic, fixed.expand(way.replace("[것]", thing)), thing


def _every_word(template: str) -> list[str]:
    """All that `template` can become."""
    start = template.find("{")
    if start < 0:
        return [template]
    end = template.index("}", start)
    inside = [word for entry in words()[template[start + 1 : end]] for word in _every_word(entry)]
    return list(dict.fromkeys(template[:start] + word + template[end + 1 :] for word in inside))


def _pair(grammar: Grammar, topic: str, prompt: str, thing: str) -> SamplePair:
    rng = grammar.rng
    _, _, good, familiar = _TOPICS[topic]
    other = rng.choice([name for name in _TOPICS if name != topic])
    kind = rng.choice(("rude", "rude", "familiar", "familiar", "off_topic"))
    if kind == "off_topic":
        # Familiar as well, and about something nobody asked for.
        rejected = rng.choice(_TOPICS[other][3]).replace("[것]", grammar.expand(listed(_TOPICS[other][0])[0]))
    else:
        rejected = rng.choice(_RUDE if kind == "rude" else familiar).replace("[것]", thing)
    return SamplePair(
        f"{topic}/{kind}",
        prompt,
        grammar.expand(rng.choice(good).replace("[것]", thing)),
        grammar.expand(rejected),
    )
