"""The evaluation suites: held-out instruction and preference prompts, sentences with a gap, held-out text."""

import random
from itertools import takewhile
from typing import Any

from trainers.sample.documents import WRITTEN_EN, WRITTEN_KO, domain_grammar, generated, hand_written
from trainers.sample.instructions import draw
from trainers.sample.preferences import pairs
from trainers.sample.split import is_held_out
from trainers.sample.vocabulary import domains, words

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
_CLOZE_SLOTS = (*("과일", "동물", "탈것", "도시", "직업", "계절", "색", "요일", "옷", "악기", "양념", "음료", "가족"),)
"""Slots whose words do not stand in each other's place; the others of an item are three more of these."""
_LEAST_BEFORE = 7
"""Characters of a sentence before its gap, which say what may come."""


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
        "cloze": _cloze(random.Random(f"{seed}/cloze"), round(160 * scale) or 1),
    }
    return generated | _texts(seed, int(24_000 * scale))


def _cloze(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """How does a sentence of the corpus' templates go on: with the word of its slot, or with one of other slots?

    What a small model of the language knows before it knows facts. Slots take part alike, not as often as they occur.
    """
    places: dict[str, list[tuple[str, str]]] = {}
    for domain, rules in domains().items():
        for template in rules["sentences"] if rules["suite"] != _WRITTEN_SUITE["english"] else ():
            for slot in _CLOZE_SLOTS:
                if template.find(f"{{{slot}}}") >= _LEAST_BEFORE and template.count(f"{{{slot}}}") == 1:
                    places.setdefault(slot, []).append((domain, template))
    items: list[dict[str, Any]] = []
    while len(items) < count:
        slot = rng.choice(sorted(places))
        item = _gap(rng, slot, *rng.choice(places[slot]))
        if item is not None and item not in items:
            items.append(item)
    return [{"id": f"cloze-{n}", "score": "sum"} | item for n, item in enumerate(items)]


def _gap(rng: random.Random, slot: str, domain: str, template: str) -> dict[str, Any] | None:
    """One item; None where the right sentence is not held out, or too little stands before the gap."""
    sentences, same = [], rng.random()
    for other in (slot, *rng.sample([name for name in _CLOZE_SLOTS if name != slot], 3)):
        grammar = domain_grammar(domain, random.Random(same))  # all but the gap's word is drawn alike
        sentences.append(grammar.expand(template, {slot: rng.choice(words()[other])}))
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*sentences, strict=False))
    gap = "".join(letters[0] for letters in alike).rfind(" ")
    if not is_held_out(sentences[0]) or gap < _LEAST_BEFORE or len(set(sentences)) < len(sentences):
        return None
    endings = [sentence[gap + 1 :] for sentence in sentences]
    choices = rng.sample(endings, len(endings))
    return {"question": sentences[0][:gap], "choices": choices, "answer": choices.index(endings[0])}


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
