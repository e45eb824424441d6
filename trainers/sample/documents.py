"""Clean documents: generated from the domains' templates, and the hand-written ones."""

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from trainers.sample.grammar import Grammar, attach
from trainers.sample.split import is_held_out
from trainers.sample.vocabulary import domains, facts, listed, words, written

WRITTEN_KO = ("encyclopedia", "notices", "recipes", "dialogue", "essays", "reviews", "stories")
WRITTEN_EN = ("english",)
LICENCE = "CC0-1.0"
# Of the generated text; hand-written English comes on top.
ENGLISH_SHARE = 0.07


@dataclass(frozen=True)
class SampleDocument:
    """One record of the corpus as it lies in the landing."""

    id: str
    text: str
    source: str
    licence: str
    url: str

    def row(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return asdict(self)


def document(source: str, number: int, text: str) -> SampleDocument:
    """`text` with an identity; addresses lie under the reserved top-level domain `.invalid`."""
    name = f"{source}-{number:05d}"
    return SampleDocument(name, text, f"sample-{source}", LICENCE, f"https://sample.invalid/{source}/{number:05d}")


@cache
def fact_slots() -> Mapping[str, list[str]]:
    """Slots whose words are whole sentences that state the facts of facts.yaml."""

    def sentences(pairs: Iterator[tuple[str, str]], *forms: str) -> list[str]:
        return [attach(form.replace("[가]", a).replace("[나]", b)) for a, b in pairs for form in forms]

    def inverted(name: str) -> Iterator[tuple[str, str]]:
        return ((item, group) for group, items in facts()[name].items() for item in items)

    opposites = [pair for entry in facts()["antonyms"] for pair in _both_ways(*entry.split("-"))]
    slots = {
        "분류사실": sentences(inverted("categories"), "[가]{은} [나]에 속한다.", "[나] 가운데 [가]{이} 있다."),
        "센사실": sentences(
            inverted("counters"), "[가]{은} 한 [나], 두 [나]{으로} 셉니다.", "[가]{을} 세는 말은 [나]입니다."
        ),
        "반대사실": sentences(iter(opposites), "[가]의 반대말은 [나]입니다.", "[가]{과} [나]{은} 서로 반대말입니다."),
        "곳사실": sentences(inverted("places"), "[가] [나]에 간다.", "[가] 먼저 [나]{을} 찾아야 한다."),
        "일사실": sentences(inverted("jobs"), "[가] 사람은 [나]{이다}.", "[나]{은} [가] 일을 한다."),
        "쓸사실": sentences(inverted("needs"), "[가]에는 [나]{이} 필요합니다.", "[가] 쓰는 것은 [나]입니다."),
    }
    return slots | {"사실": ["{분류사실}", "{분류사실}", "{일사실}"]}


def _both_ways(one: str, other: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (one, other), (other, one)


def domain_grammar(domain: str, rng: random.Random) -> Grammar:
    """What fills the slots of a domain's templates."""
    slots = {slot: listed(text) for slot, text in domains()[domain].get("slots", {}).items()}
    slots |= {"칭찬": facts()["positive"], "불만": facts()["negative"]}
    return Grammar({**words(), **fact_slots(), **slots}, rng)


def generated(domain: str, rng: random.Random, size: int, held_out: bool = False) -> list[str]:
    """Documents of one domain, at least `size` bytes of UTF-8 together; `held_out`: of sentences for benchmarks."""
    rules, grammar = domains()[domain], domain_grammar(domain, rng)
    templates = [] if held_out and rules.get("apart") else list(rules["sentences"])
    if held_out:
        templates += rules["held_out"]
    texts: list[str] = []
    while size > 0:
        texts.append(_document(grammar, rules, templates, held_out))
        size -= len(texts[-1].encode())
    return texts


def _document(grammar: Grammar, rules: Mapping[str, Any], templates: list[str], held_out: bool) -> str:
    rng = grammar.rng
    bound: dict[str, str] = {}
    for slot in rules["bind"]:
        bound[slot] = grammar.expand(f"{{{slot}}}", bound)
    paragraphs = [grammar.expand(rng.choice(rules["title"]), bound)] if rng.random() < 0.7 else []
    sentences: list[str] = []
    for template in rng.sample(templates, min(len(templates), rng.randint(5, 14))):
        # A template with nothing to vary may have no sentence on this side of the split.
        drawn = (grammar.expand(template, bound) for _ in range(30))
        sentences += itertools.islice((sentence for sentence in drawn if is_held_out(sentence) == held_out), 1)
    while sentences:
        length = rng.randint(2, 6)
        # What is said in turns stands on lines of its own.
        paragraphs.append(("\n" if "\n" in sentences[0] else " ").join(sentences[:length]))
        sentences = sentences[length:]
    return "\n".join(paragraphs)


def hand_written(kind: str, held_out: bool = False) -> list[str]:
    """The hand-written documents of one kind; the last one of each kind is the benchmarks'."""
    texts = written(kind)
    return texts[-1:] if held_out else texts[:-1]


def corpus(seed: int, size: int) -> dict[str, list[SampleDocument]]:
    """Domain or kind -> its clean documents: all hand-written ones and about `size` bytes of generated ones."""
    korean = [name for name, rules in domains().items() if rules["suite"] != "text_en"]
    english = [name for name, rules in domains().items() if rules["suite"] == "text_en"]
    shares = {name: (1 - ENGLISH_SHARE) / len(korean) for name in korean}
    shares |= {name: ENGLISH_SHARE / len(english) for name in english}
    texts_of = {
        name: generated(name, random.Random(f"{seed}/corpus/{name}"), int(size * share))
        for name, share in shares.items()
    }
    texts_of |= {kind: hand_written(kind) for kind in WRITTEN_KO + WRITTEN_EN}
    return {name: [document(name, n, text) for n, text in enumerate(texts)] for name, texts in texts_of.items()}
