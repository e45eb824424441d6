"""Texts that nobody wrote: every public function on text takes any of them, and gives no more than it was given."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.contract.recipe.data import BoilerplateSettings, FilterSettings, NormaliseSettings
from trainers.text import decode, json_values, languages, repetition, sentence_rules, speech_levels
from trainers.text.boilerplate import reason_of, remove_lines
from trainers.text.characters import Texts
from trainers.text.filters import judge, measure, verdicts
from trainers.text.minhash import signatures
from trainers.text.normalise import normalise
from trainers.text.personal_data import find, mask

PIECES = ["가", "다. ", "ㅋ", "1", "010-", "@", "a.", "<a ", "&", "http://", '"', "[", "{", "\n", "\u200b"]
"""What the rules look for."""
TEXT = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.tuples(st.text(min_size=1, max_size=3), st.integers(1, 300)).map(lambda pair: pair[0] * pair[1]),
)
"""Anything; what the rules look for, without order; and one thing over and over."""


def _masked(text: str) -> list[str]:
    return mask(Texts.of([text]), addresses=True)[0].strings


NEW_TEXTS: dict[str, Callable[[str], list[str]]] = {
    "normalise": lambda text: normalise(Texts.of([text]), NormaliseSettings())[0].strings,
    "remove_lines": lambda text: remove_lines(Texts.of([text]), BoilerplateSettings())[0].strings,
    "mask": _masked,
    "repair_mojibake": lambda text: [decode.repair_mojibake(text)[0]],
    "repair_surrogates": lambda text: [decode.repair_surrogates(text)[0]],
    "split_by_rules": sentence_rules.split_by_rules,
    "words": repetition.words,
}
"""What gives texts: none is much longer than what it was made of (a mask is a word, NFC's worst case is threefold)."""
MEASURES: dict[str, Callable[[str], object]] = {
    "repetition": lambda text: 0 <= repetition.repetition(text) <= 1,
    "politeness": lambda text: 0 <= speech_levels.politeness(text) <= 1,
    "verdicts": lambda text: len(verdicts(judge(measure(Texts.of([text])), FilterSettings()))) == 1,
    "signatures": lambda text: len(signatures(Texts.of([text]))) == 2,
    "find": lambda text: all(0 <= span.begin < span.end <= len(text) for span in find(text, addresses=True)),
    "elements": lambda text: all(0 <= one.begin <= one.end <= len(text) for one in json_values.elements(text)),
    "holds_lines": lambda text: isinstance(json_values.holds_lines(text), bool),
    "drifts": lambda text: isinstance(languages.drifts(text), bool),
    "loops": lambda text: isinstance(repetition.loops(text), bool),
    "sentence_starts": lambda text: all(0 <= at <= len(text) for at in sentence_rules.sentence_starts(text)),
    "sentence_levels": lambda text: len(speech_levels.sentence_levels(text)) <= len(text) + 1,
    "reason_of": lambda text: reason_of(text, BoilerplateSettings()) != "",
}


@pytest.mark.parametrize("name", NEW_TEXTS)
@given(text=TEXT)
@settings(max_examples=40, deadline=None)
def test_what_is_made_of_a_text_is_text_and_bounded(name: str, text: str) -> None:
    made = "".join(NEW_TEXTS[name](text))
    made.encode()
    assert len(made) <= 4 * len(text) + 40


@pytest.mark.parametrize("name", MEASURES)
@given(text=TEXT)
@settings(max_examples=40, deadline=None)
def test_what_is_said_of_a_text_holds(name: str, text: str) -> None:
    assert MEASURES[name](text)
