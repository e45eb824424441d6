"""Every regular expression of the product takes a number of steps that grows as the text does, whatever the text.

`re` has no limit: a pattern that reads a line from each of its places to its end hangs on a line of a megabyte. What is
counted is what `re` would do, one way after the other (tests/support/regex_steps.py), on texts that are made from the
parts of the pattern itself (tests/support/hostile_strings.py).
"""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.hostile_strings import grown, hostile_texts
from tests.support.product_patterns import Use, product_patterns
from tests.support.regex_steps import METHODS, MOST_STEPS, Machine
from trainers.contract.recipe.data import BoilerplateSettings
from trainers.text import boilerplate, sentence_rules
from trainers.text.characters import Texts

pytestmark = pytest.mark.slow
SIZES = 256, 512, 1024
GROWTH = 2.2
"""A text twice as long may cost so many times as much, in what comes to it."""
FIXED = 512
"""Steps that no growth is asked of."""
BOUNDED = {
    "trainers/text/boilerplate.py: _CONTACT": BoilerplateSettings().max_characters,
    "trainers/text/boilerplate.py: _RIGHTS": BoilerplateSettings().max_characters,
    "trainers/text/sentence_rules.py: _END": sentence_rules._LONGEST_END,
}
"""Patterns that no text of more characters comes to, as a test below sees: there may be no more than MOST_BOUNDED steps
on one."""
MOST_BOUNDED = 60_000
MADE_OF_DATA = {
    "trainers/benchmarks/published.py: _published": "a plugin's, on the names of files",
    "trainers/contract/reference.py: _section": "the packaged recipes' own text",
    "trainers/contract/settings.py: unknown_variables": "names of variables",
    "trainers/text/personal/recogniser.py: recogniser": "seen where it is kept",
    "trainers/text/personal/recogniser.py: words": "seen where it is kept",
    "trainers/training/data/chat.py: control_tokens": "words, each as it is",
    "trainers/training/data/turns.py: spans": "one word as it is",
}
"""Functions whose pattern is known only when they run, and why it is none that a text could keep busy."""


def slowest(pattern: "re.Pattern[Any]", method: str, seed: int = 0) -> tuple[tuple[str, str, str], list[int]] | None:
    """A text of which twice as much costs more than GROWTH times as much: its parts, and its steps by SIZES."""
    machine = Machine(pattern)
    for parts in hostile_texts(machine, seed):
        small, large = (machine.steps(grown(parts, size), method)[0] for size in (SIZES[0], SIZES[-1]))
        if large <= 2 * GROWTH * small + FIXED and large < MOST_STEPS:
            continue
        middle = machine.steps(grown(parts, SIZES[1]), method)[0]
        if large >= MOST_STEPS or large - middle > GROWTH * (middle - small) + FIXED:
            return parts, [small, middle, large]
    return None


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"\s*\n\s*", "finditer"),
        (r"(a+)+$", "match"),
        (r".*x.*y", "search"),
        (r"x.*y", "search"),
        (r"\s*\[?\s*\{", "match"),
        (r"\s+$", "search"),
        (r"(?:a|a)*b", "fullmatch"),
        (r"[\w.+-]+@", "finditer"),
        (r"a(?=[^/]*$)", "finditer"),
        (r"(?:\d+,?)+;", "match"),
        (rb"[ \t]*\r?\n", "search"),
    ],
)
def test_a_pattern_that_hangs_is_seen(pattern: str | bytes, method: str) -> None:
    assert slowest(re.compile(pattern), method) is not None


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"\s*\n\s*", "match"),
        (r"(?<!\s)\s+$", "search"),
        (r"\s*(?:\[\s*)?\{", "match"),
        (r"x[^xy]*y", "finditer"),
        (r"(?>a+)+$", "match"),
        (r"\b\w+=", "finditer"),
        (r"[\w.+-]{1,64}@", "finditer"),
    ],
)
def test_its_mended_form_is_not(pattern: str, method: str) -> None:
    assert slowest(re.compile(pattern), method) is None


_ATOM = st.sampled_from(
    ["a", "b", ".", r"\w", r"\s", "[ab]", "[^a]", r"\b", "^", "$", r"(?<=a)", "(?<!b)", "(?=b)", "(?!ab)", "(?i:B)"]
)
_PATTERN = st.recursive(
    _ATOM,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "+?", "{1,3}", "{2,}", "*+"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
        inner.map(lambda one: f"(?>{one})"),
        inner.map(lambda one: rf"({one})b?\1"),
    ),
    max_leaves=6,
)


@given(pattern=_PATTERN, text=st.text("ab B\n", max_size=12), method=st.sampled_from(METHODS))
@settings(max_examples=300, deadline=None)
def test_the_machine_that_counts_finds_what_re_finds(pattern: str, text: str, method: str) -> None:
    try:
        compiled = re.compile(pattern)
    except re.error:  # a group's number that two groups claim
        return
    there = getattr(compiled, method)(text)
    spans = [match.span() for match in there] if method == "finditer" else [there.span()] if there else []
    assert Machine(compiled).steps(text, method)[1] == spans


@pytest.fixture(scope="module")
def uses() -> tuple[list[Use], set[str]]:
    return product_patterns()


def test_every_pattern_of_the_product_is_looked_at(uses: tuple[list[Use], set[str]]) -> None:
    seen, unknown = uses
    places = {use.place for use in seen}
    assert unknown == set(MADE_OF_DATA)
    assert places >= set(BOUNDED)
    assert {"trainers/text/read.py: _CARD_KEY", "trainers/text/personal/mail.py: MAILS.0.pattern"} <= places


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.prove) for n in range(1, 6))])
def test_the_steps_of_each_grow_as_the_text_does(uses: tuple[list[Use], set[str]], seed: int) -> None:
    bad = {
        str(use): parts_and_steps
        for use in uses[0]
        if use.place not in BOUNDED and (parts_and_steps := slowest(use.pattern, use.method, seed))
    }
    assert bad == {}


@pytest.mark.parametrize("place", BOUNDED)
def test_a_pattern_for_short_texts_takes_few_steps_on_one(uses: tuple[list[Use], set[str]], place: str) -> None:
    for use in uses[0]:
        if use.place == place:
            machine = Machine(use.pattern)
            texts = [grown(parts, BOUNDED[place])[: BOUNDED[place]] for parts in hostile_texts(machine, seed=0)]
            assert max(machine.steps(text, use.method)[0] for text in texts) < MOST_BOUNDED


class Spy:
    """A pattern that keeps how long a text it was given."""

    def __init__(self, pattern: "re.Pattern[str]") -> None:
        self._pattern = pattern
        self.lengths: list[int] = []

    def fullmatch(self, text: str) -> "re.Match[str] | None":
        self.lengths.append(len(text))
        return self._pattern.fullmatch(text)

    def search(self, text: str, begin: int, end: int) -> "re.Match[str] | None":
        self.lengths.append(end - begin)
        return self._pattern.search(text, begin, end)


def test_none_but_short_texts_come_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    spies = {}
    for place in BOUNDED:
        name = place.rpartition(" ")[2]
        module = boilerplate if "boilerplate" in place else sentence_rules
        spies[place] = Spy(getattr(module, name))
        monkeypatch.setattr(module, name, spies[place])
    texts = Texts.of([line * n for line in ("무단전재 및 재배포 금지 ⓒ", "제보 및 문의 a@b.kr ") for n in (1, 5, 500)])
    boilerplate.remove_lines(texts, BoilerplateSettings())
    sentence_rules.split_by_rules("좋아요？！ " * 500)
    for place, spy in spies.items():
        assert spy.lengths and max(spy.lengths) <= BOUNDED[place]
