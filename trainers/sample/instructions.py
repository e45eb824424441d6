"""Instruction items in families that a model of a few million parameters can learn and carry over to new items."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from trainers.sample.grammar import attach
from trainers.sample.split import is_held_out
from trainers.sample.vocabulary import facts, words


@dataclass(frozen=True)
class Item:
    """One task: what the user says, the right answer and, where the answers are a closed set, all that are offered."""

    task: str
    prompt: str
    answer: str
    choices: tuple[str, ...] = ()


def families(rng: random.Random) -> dict[str, list[Item]]:
    """Task -> its items, shuffled by `rng`, every prompt once. Wrong choices are drawn by `rng`, prompts are not."""
    made: dict[str, list[Item]] = {}
    for family in _FAMILIES:
        task = family.__name__.strip("_")
        unique = {item.prompt: item for item in family(rng)}
        made[task] = rng.sample(list(unique.values()), len(unique))
    return made


def draw(seed: int, count: int, held_out: bool) -> list[Item]:
    """About `count` items, families in equal parts as far as they reach; training and held-out prompts never meet."""
    rng = random.Random(f"{seed}/instructions/{held_out}")
    pools = {
        task: [item for item in items if is_held_out(item.prompt) == held_out] for task, items in families(rng).items()
    }
    chosen: list[Item] = []
    for left, pool in zip(range(len(pools), 0, -1), sorted(pools.values(), key=len), strict=True):
        chosen += pool[: (count - len(chosen)) // left]
    return rng.sample(chosen, len(chosen))


def offered(rng: random.Random, answer: str, others: Iterable[str], count: int = 4) -> tuple[str, ...]:
    """`answer` among up to `count` - 1 of `others`, in random order."""
    wrong = rng.sample(sorted(set(others) - {answer}), min(count - 1, len(set(others) - {answer})))
    return tuple(rng.sample([answer, *wrong], len(wrong) + 1))


def _grouped(rng: random.Random, task: str, fact: str, forms: tuple[str, ...]) -> Iterator[Item]:
    groups = facts()[fact]
    for form in forms:
        for group, items in groups.items():
            others = [g for g, members in groups.items() if g != group]
            for word in items:
                yield Item(task, attach(form.replace("[말]", word)), group, offered(rng, group, others))


def _category(rng: random.Random) -> Iterator[Item]:
    forms = (
        "[말]{은} 무엇에 속하나요?",
        "'[말]'의 종류를 한 낱말로 쓰세요.",
        "다음 낱말의 종류는 무엇인가요? [말]",
        "[말]{을} 알맞은 종류로 나누세요.",
        "[말]{은} 어떤 종류의 낱말인가요?",
    )
    return _grouped(rng, "category", "categories", forms)


def _counter(rng: random.Random) -> Iterator[Item]:
    forms = (
        "[말]{을} 세는 단위는 무엇인가요?",
        "[말]{은} 어떤 단위로 세나요?",
        "다음을 세는 말을 쓰세요. [말]",
        "'[말] 한 ( )' 빈칸에 알맞은 말은?",
    )
    return _grouped(rng, "counter", "counters", forms)


def _colour(rng: random.Random) -> Iterator[Item]:
    forms = (
        "[말]의 색을 쓰세요.",
        "[말]{은} 무슨 색인가요?",
        "'[말]' 하면 떠오르는 색은?",
        "[말]의 색깔은 무엇인가요?",
    )
    return _grouped(rng, "colour", "colours", forms)


def _city(rng: random.Random) -> Iterator[Item]:
    forms = (
        "[말]{은} 어느 도시에 있나요?",
        "[말]{이} 있는 도시를 쓰세요.",
        "[말]에 가려면 어느 도시로 가야 하나요?",
        "어느 도시의 명소인가요? [말]",
    )
    return _grouped(rng, "city", "landmarks", forms)


def _antonym(rng: random.Random) -> Iterator[Item]:
    pairs = [tuple(entry.split("-")) for entry in facts()["antonyms"]]
    every = [word for pair in pairs for word in pair]
    forms = (
        "'[말]'의 반대말은 무엇인가요?",
        "[말]{과} 뜻이 반대인 낱말을 쓰세요.",
        "반대말을 쓰세요. [말]",
        "[말]의 반대말을 알려 주세요.",
    )
    for form in forms:
        for one, other in pairs + [(b, a) for a, b in pairs]:
            yield Item("antonym", attach(form.replace("[말]", one)), other, offered(rng, other, every))


def _sentiment(rng: random.Random) -> Iterator[Item]:
    forms = ("다음 후기는 긍정인가요, 부정인가요? [글]", "이 글의 느낌을 긍정이나 부정으로 답하세요. [글]")
    things = [*words()["전자제품"], *words()["옷"], *words()["가구"], *words()["악기"]]
    for form in forms:
        for answer, endings in (("긍정", facts()["positive"]), ("부정", facts()["negative"])):
            for thing in things:
                for ending in endings:
                    yield Item(
                        "sentiment", form.replace("[글]", attach(thing + ending + ".")), answer, ("긍정", "부정")
                    )


def _polite(_rng: random.Random) -> Iterator[Item]:
    forms = ("높임말로 바꾸세요. [글]", "다음 문장을 존댓말로 쓰세요. [글]")
    for form in forms:
        for line in facts()["polite"]:
            what, plain, polite = (part.strip() for part in line.split("|"))
            for when in ("", *(f"{when} " for when in facts()["when"])):
                yield Item("polite", form.replace("[글]", f"{when}{what} {plain}."), f"{when}{what} {polite}.")


def _next(rng: random.Random) -> Iterator[Item]:
    days, months = words()["요일"], words()["월"]
    forms = (
        "[말] 다음은 무엇인가요?",
        "[말] 바로 다음에 오는 것을 쓰세요.",
        "[말] 뒤에 이어지는 것은?",
        "차례대로 세면 [말] 다음은?",
    )
    back = ("[말] 앞은 무엇인가요?", "[말] 바로 앞에 오는 것을 쓰세요.")
    for cycle in (days, months):
        for step, wordings in ((1, forms), (-1, back)):
            for form in wordings:
                for n, word in enumerate(cycle):
                    answer = cycle[(n + step) % len(cycle)]
                    yield Item("next", form.replace("[말]", word), answer, offered(rng, answer, cycle))


def _copy(rng: random.Random) -> Iterator[Item]:
    forms = ("'[말]'{을} 그대로 쓰세요.", "따옴표 안의 낱말을 쓰세요. '[말]'", "다음 낱말을 한 번 더 쓰세요. '[말]'")
    nouns = [word for slot in ("과일", "동물", "꽃", "악기", "가구", "장소", "직업", "도시") for word in words()[slot]]
    for form in forms:
        for word in nouns:
            yield Item("copy", attach(form.replace("[말]", word)), word, offered(rng, word, nouns))


def _place(rng: random.Random) -> Iterator[Item]:
    forms = ("[글] 어디에서 있었던 일인가요?", "다음 글에 나온 곳을 쓰세요. [글]")
    deeds = (
        "{이} [곳]에서 책을 읽었다.",
        "{이} [곳]에서 친구를 만났다.",
        "{은} [곳]에서 사진을 찍었다.",
        "{은} 아침에 [곳]에 갔다.",
    )
    names, places = words()["이름"][:20], [place for place in words()["장소"] if " " not in place][:20]
    for form in forms:
        for deed in deeds:
            for name in names:
                for place in places:
                    text = form.replace("[글]", attach(name + deed.replace("[곳]", place)))
                    yield Item("place", text, place, offered(rng, place, places))


def _yes_no(rng: random.Random) -> Iterator[Item]:
    forms = ("[말]{은} [무리]에 속하나요?", "[말]{은} [무리]의 하나인가요?", "[말]{은} [무리]{이라}고 할 수 있나요?")
    groups = facts()["categories"]
    for form in forms:
        for group, items in groups.items():
            for place, word in enumerate(items):
                # One wrong group per word and form, the same in every release.
                wrong = [g for g in groups if g != group][(place + len(form)) % (len(groups) - 1)]
                for asked, answer in ((group, "네"), (wrong, "아니요")):
                    text = attach(form.replace("[말]", word).replace("[무리]", asked))
                    yield Item("yes_no", text, answer, ("네", "아니요"))


_FAMILIES: tuple[Callable[[random.Random], Iterator[Item]], ...] = (
    _category,
    _counter,
    _colour,
    _city,
    _antonym,
    _sentiment,
    _polite,
    _next,
    _copy,
    _place,
    _yes_no,
)
