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
    items_of: dict[str, list[Item]] = {}
    for family in _FAMILIES:
        task = family.__name__.strip("_")
        unique = {item.prompt: item for item in family(rng)}
        items_of[task] = rng.sample(list(unique.values()), len(unique))
    return items_of


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


def _grouped(rng: random.Random, task: str, fact: str, forms: tuple[str, ...], closed: bool = True) -> Iterator[Item]:
    """[말] in a form is the cue, its group the answer; [이] is a name, with an item for each of some names."""
    groups = facts()[fact]
    for form in forms:
        for name in words()["이름"][:12] if "[이]" in form else [""]:
            for group, cues in groups.items():
                for cue in cues:
                    text = attach(form.replace("[말]", cue).replace("[이]", name))
                    yield Item(task, text, group, offered(rng, group, groups) if closed else ())


def _category(rng: random.Random) -> Iterator[Item]:
    forms = (
        "낱말의 종류를 쓰세요: [말]",
        "다음 낱말은 무엇에 속하나요? [말]",
        "종류를 알려 주세요. [말]",
        "[이]{이} 물었습니다. 이것은 어떤 종류인가요? [말]",
    )
    return _grouped(rng, "category", "categories", forms)


def _counter(rng: random.Random) -> Iterator[Item]:
    forms = (
        "세는 단위를 쓰세요: [말]",
        "다음 낱말은 어떤 단위로 세나요? [말]",
        "[이]{이} 물었습니다. 이것을 세는 말은 무엇인가요? [말]",
    )
    return _grouped(rng, "counter", "counters", forms)


def _place(rng: random.Random) -> Iterator[Item]:
    forms = ("[말] 어디로 가야 하나요?", "[이]{은} [말] 어디로 가야 하나요?", "[말] [이]{은} 어디에 가면 되나요?")
    return _grouped(rng, "place", "places", forms, closed=False)


def _job(rng: random.Random) -> Iterator[Item]:
    forms = (
        "[말] 사람은 누구인가요?",
        "[이]{은} [말] 일을 합니다. 직업이 무엇인가요?",
        "[말] [이]의 직업은 무엇인가요?",
    )
    return _grouped(rng, "job", "jobs", forms, closed=False)


def _need(rng: random.Random) -> Iterator[Item]:
    forms = ("[말] 무엇이 필요한가요?", "[이]{은} [말] 무엇이 필요한가요?", "[말] [이]에게 줄 것은 무엇인가요?")
    return _grouped(rng, "need", "needs", forms)


def _antonym(rng: random.Random) -> Iterator[Item]:
    pairs = [tuple(entry.split("-")) for entry in facts()["antonyms"]]
    every = [word for pair in pairs for word in pair]
    forms = ["반대말을 쓰세요: [말]", "다음 낱말의 반대말은 무엇인가요? [말]"]
    forms += [f"{name}{{이}} 물었습니다. 반대말은 무엇인가요? [말]" for name in words()["이름"][:8]]
    for form in forms:
        for one, other in pairs + [(b, a) for a, b in pairs]:
            yield Item("antonym", attach(form.replace("[말]", one)), other, offered(rng, other, every))


def _sentiment(_rng: random.Random) -> Iterator[Item]:
    forms = ("다음 후기는 긍정인가요, 부정인가요? [글]", "이 글의 느낌을 긍정이나 부정으로 답하세요. [글]")
    things = [*words()["전자제품"], *words()["옷"], *words()["가구"], *words()["악기"]]
    for form in forms:
        for answer, endings in (("긍정", facts()["positive"]), ("부정", facts()["negative"])):
            for thing in things:
                for ending in endings:
                    yield Item(
                        "sentiment", form.replace("[글]", attach(thing + ending + ".")), answer, ("긍정", "부정")
                    )


def _sentences() -> Iterator[tuple[str, str, str]]:
    """Every (sentence, tense, kind): a name, what is done, and the verb in its forms."""
    forms = (
        ("현재", "설명", "."),
        ("과거", "설명", "."),
        ("미래", "설명", "."),
        ("", "질문", "?"),
        ("", "부탁", "."),
    )
    for line in facts()["verbs"]:
        what, *verbs = (part.strip() for part in line.split("|"))
        for name in words()["이름"][:12]:
            for verb, (tense, kind, mark) in zip(verbs, forms, strict=True):
                opening = f"{name} 씨, " if kind == "부탁" else attach(name + "{은} ")
                yield f"{opening}{what} {verb}{mark}", tense, kind


def _tense(_rng: random.Random) -> Iterator[Item]:
    for text, tense, _ in _sentences():
        if tense:
            yield Item("tense", f"과거, 현재, 미래 가운데 어느 때인가요? {text}", tense, ("과거", "현재", "미래"))


def _kind(_rng: random.Random) -> Iterator[Item]:
    for text, _, kind in _sentences():
        yield Item("kind", f"설명, 질문, 부탁 가운데 무엇인가요? {text}", kind, ("설명", "질문", "부탁"))


def _polite(rng: random.Random) -> Iterator[Item]:
    lines = [tuple(part.strip() for part in line.split("|")) for line in facts()["polite"]]
    for form in ("높임말로 바꾸세요. [글]", "다음 문장을 존댓말로 쓰세요. [글]"):
        for what, plain, polite in lines:
            for when in ("", *(f"{when} " for when in facts()["when"])):
                others = [f"{when}{other} {ending}." for other, _, ending in lines]
                answer = f"{when}{what} {polite}."
                yield Item(
                    "polite", form.replace("[글]", f"{when}{what} {plain}."), answer, offered(rng, answer, others)
                )


def _level(_rng: random.Random) -> Iterator[Item]:
    for line in facts()["polite"]:
        what, plain, polite = (part.strip() for part in line.split("|"))
        for when in ("", *(f"{when} " for when in facts()["when"])):
            for ending, answer in ((plain, "반말"), (polite, "존댓말")):
                text = f"이 말은 반말인가요, 존댓말인가요? {when}{what} {ending}."
                yield Item("level", text, answer, ("반말", "존댓말"))


def _weekday(_rng: random.Random) -> Iterator[Item]:
    days = words()["요일"]
    questions = (("내일은 무슨 요일인가요?", 1), ("어제는 무슨 요일이었나요?", -1))
    for name in ("", *(f"{name}의 " for name in words()["이름"])):
        for n, day in enumerate(days):
            for question, step in questions:
                premise = f"{name}생일은 {day}입니다. 그다음 날은 무슨 요일인가요?" if step > 0 and name else ""
                answer = days[(n + step) % len(days)]
                yield Item("weekday", premise or f"{name and name + '생일인 '}오늘은 {day}입니다. {question}", answer)


_FAMILIES: tuple[Callable[[random.Random], Iterator[Item]], ...] = (
    _category,
    _counter,
    _place,
    _job,
    _need,
    _antonym,
    _sentiment,
    _tense,
    _kind,
    _polite,
    _level,
    _weekday,
)
