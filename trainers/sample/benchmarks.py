"""The evaluation suites: held-out instruction and preference prompts, commonsense completions, held-out text."""

import random
from collections.abc import Iterator
from typing import Any

from trainers.sample.documents import WRITTEN_EN, WRITTEN_KO, generated, hand_written
from trainers.sample.grammar import attach
from trainers.sample.instructions import draw, offered
from trainers.sample.preferences import pairs
from trainers.sample.vocabulary import domains, facts

_WRITTEN_SUITE = {
    "encyclopedia": "text_ko_encyclopedia",
    "notices": "text_ko_notice",
    "reviews": "text_ko_notice",
    "recipes": "text_ko_life",
    "dialogue": "text_ko_life",
    "essays": "text_ko_life",
    "stories": "text_ko_life",
    "english": "text_en",
}
# fact -> how a completion begins and ends; the corpus tells the same with other words
_COMPLETIONS = {
    "categories": ("[말]{은} 무엇인가 하면", "[답]에 속한다."),
    "counters": ("[말]{을} 셀 때 쓰는 말은", "[답]입니다."),
    "places": ("[말] 우리가 가는 곳은", "[답]{이다}."),
    "jobs": ("[말] 사람을 부르는 이름은", "[답]{이다}."),
    "needs": ("[말] 꼭 있어야 하는 것은", "[답]입니다."),
}


def user(text: str) -> list[dict[str, str]]:
    """A conversation that opens with `text`."""
    return [{"role": "user", "content": text}]


def assistant(text: str) -> list[dict[str, str]]:
    """The assistant's turn."""
    return [{"role": "assistant", "content": text}]


def suites(seed: int, scale: float) -> dict[str, list[dict[str, Any]]]:
    """Suite -> its items in the landing's form; `scale` 1 gives the full sizes."""
    generated = {
        "instruct": [
            {"id": f"instruct-{n}", "messages": user(item.prompt), "answer": item.answer, "task": item.task}
            | ({"choices": list(item.choices)} if item.choices else {})
            for n, item in enumerate(draw(seed, round(264 * scale) or 1, held_out=True))
        ],
        "preference": [
            {
                "id": f"preference-{n}",
                "prompt": user(pair.prompt),
                "chosen": assistant(pair.chosen),
                "rejected": assistant(pair.rejected),
            }
            for n, pair in enumerate(pairs(seed, round(160 * scale) or 1, held_out=True))
        ],
        "commonsense": _commonsense(random.Random(f"{seed}/commonsense"), round(160 * scale) or 1),
    }
    return generated | _texts(seed, int(24_000 * scale))


def _commonsense(rng: random.Random, count: int) -> list[dict[str, Any]]:
    def items() -> Iterator[dict[str, Any]]:
        for fact, (begin, end) in _COMPLETIONS.items():
            groups = facts()[fact]
            for group, members in groups.items():
                for word in members:
                    choices = offered(rng, group, groups)
                    yield {
                        "question": attach(begin.replace("[말]", word)),
                        "choices": [attach(end.replace("[답]", choice)) for choice in choices],
                        "answer": choices.index(group),
                    }

    every = list(items())
    chosen = rng.sample(every, min(count, len(every)))
    return [{"id": f"commonsense-{n}"} | item for n, item in enumerate(chosen)]


def _texts(seed: int, size: int) -> dict[str, list[dict[str, Any]]]:
    """Text suites of about `size` bytes each: sentences and documents that no corpus of any seed holds."""
    suites: dict[str, list[dict[str, Any]]] = {}

    def add(suite: str, texts: list[str]) -> None:
        rows = suites.setdefault(suite, [])
        domain = suite.removeprefix("text_").replace("_", "-")
        rows += [{"id": f"{suite}-{len(rows) + n}", "text": text, "domain": domain} for n, text in enumerate(texts)]

    by_suite: dict[str, list[str]] = {}
    for name, rules in domains().items():
        by_suite.setdefault(rules["suite"], []).append(name)
    for kind in WRITTEN_KO + WRITTEN_EN:
        add(_WRITTEN_SUITE[kind], hand_written(kind, held_out=True))
    for suite, names in by_suite.items():
        for name in names:
            rng = random.Random(f"{seed}/benchmarks/{name}")
            add(suite, generated(name, rng, size // len(names), held_out=True))
    return suites
