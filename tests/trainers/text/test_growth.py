"""A text twice as long costs twice as much: lines of Python that run, and bytes held at once, counted.

What `re` does within a line is counted by tests/test_patterns.py; what numba compiled is not counted.
"""

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.text.test_hostile_texts import MEASURES, NEW_TEXTS, PIECES
from trainers.text import sentence_rules

SIZES = 256, 512, 1024
GROWTH = 2.2
"""Twice as much text may run so many times as many lines, in what comes to it."""
FIXED = 400
"""Lines that no growth is asked of: a table that is filled once, a message."""
LONG = 1 << 13
BYTES_A_CHARACTER, BYTES = 300, 1 << 20
"""What is held at once: a third of it was measured; and what does not grow."""
FUNCTIONS: dict[str, Callable[[str], object]] = {**NEW_TEXTS, **MEASURES}
PIECE = st.lists(st.one_of(st.sampled_from(PIECES), st.text(min_size=1, max_size=2)), min_size=1, max_size=3).map(
    "".join
)


def lines(function: Callable[[str], object], text: str) -> int:
    """Lines of `trainers` that a call runs."""
    count = 0

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return local

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        return local if "/trainers/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        function(text)
    finally:
        sys.settrace(before)
    return count


def peak(function: Callable[[str], object], text: str) -> int:
    """Bytes that a call holds at once, as Python and numpy asked for them."""
    tracemalloc.start()
    try:
        function(text)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def grows_as_it_may(function: Callable[[str], object], piece: str) -> bool:
    """Whether the lines that run grow as the text does, which is a piece over and over."""
    small, middle, large = (lines(function, piece * (size // len(piece) + 1)) for size in SIZES)
    return large - middle <= GROWTH * (middle - small) + FIXED


def test_a_loop_in_a_loop_is_seen() -> None:
    def ends(text: str) -> int:
        return sum(len(sentence_rules.split_by_rules(text[at:])) for at in range(len(text)))

    assert not grows_as_it_may(ends, "가다. ")


@pytest.mark.parametrize("name", FUNCTIONS)
@given(piece=PIECE)
@settings(max_examples=6, deadline=None)
def test_the_lines_that_run_grow_as_the_text_does(name: str, piece: str) -> None:
    function = FUNCTIONS[name]
    function(piece)  # what is read or compiled once is there
    assert grows_as_it_may(function, piece), piece


@pytest.mark.parametrize("name", FUNCTIONS)
@given(piece=PIECE)
@settings(max_examples=2, deadline=None)
def test_the_bytes_held_at_once_are_so_many_a_character(name: str, piece: str) -> None:
    function = FUNCTIONS[name]
    function(piece)
    text = piece * (LONG // len(piece) + 1)
    assert peak(function, text) <= BYTES_A_CHARACTER * len(text) + BYTES
