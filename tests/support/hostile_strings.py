"""Texts that are made to keep a pattern busy: pieces that its repeats take, again and again, and an end that fails."""

import random
import re
import re._constants as sre
from collections.abc import Iterable, Iterator
from typing import Any

from tests.support.regex_steps import Machine, is_single

_REPEATS = {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}
_LONG = 16
"""A repeat that goes on for so long can be kept going."""
_ALWAYS = "\0\t\n 0Aa_-.,!가ㄱ㉠é😀"
_MOST_LETTERS = 16
_SAMPLES = 3


def hostile_texts(machine: Machine, seed: int) -> list[tuple[str, str, str]]:
    """What to write before, again and again, and behind; the same for the same pattern and seed."""
    return list(dict.fromkeys(_Attacker(machine, seed).texts()))


def grown(parts: tuple[str, str, str], size: int) -> str:
    """A text of such parts, of at least `size` characters."""
    before, piece, behind = parts
    return before + piece * -(-size // len(piece)) + behind


class _Attacker:
    def __init__(self, machine: Machine, seed: int) -> None:
        self._machine = machine
        self._chance = random.Random(seed)
        codes = {code for code in _codes(machine.tree) if 0 <= code < (256 if machine.is_bytes else 0x110000)}
        letters = {chr(code) for code in codes if not 0xD800 <= code < 0xE000}
        letters |= {char for char in _ALWAYS if not machine.is_bytes or char.isascii()}
        if machine.pattern.flags & re.IGNORECASE:
            letters |= {char.swapcase() for char in letters if len(char.swapcase()) == 1}
        # Letters that no part of the pattern tells apart are one.
        kinds = {tuple(machine.takes(char)): char for char in sorted(letters)}
        self._letters = sorted(kinds.values())

    def texts(self) -> Iterator[tuple[str, str, str]]:
        for letter in self._some(self._letters):
            yield from self._around("", letter)
        for ahead, body in _long_repeats(self._machine.tree, ()):
            pieces = [self._sample(body) for _ in range(_SAMPLES)]
            if len(body) == 1 and is_single(body[0]):
                pieces = self._some(self._matching(body[0]))
            for piece in filter(None, pieces):
                yield from self._around(self._sample(ahead), piece)

    def _around(self, before: str, piece: str) -> Iterator[tuple[str, str, str]]:
        for behind in ("", "\0"):
            yield before, piece, behind
            if before:
                yield "", before + piece, behind

    def _some(self, letters: list[str]) -> list[str]:
        return letters if len(letters) <= _MOST_LETTERS else self._chance.sample(letters, _MOST_LETTERS)

    def _matching(self, node: tuple[Any, Any]) -> list[str]:
        one = self._machine.single(node)
        return [char for char in self._letters if one.fullmatch(self._machine.encoded(char))]

    def _sample(self, nodes: Iterable[tuple[Any, Any]]) -> str:
        return "".join(map(self._sample_of, nodes))

    def _sample_of(self, node: tuple[Any, Any]) -> str:
        """Something that a node takes; what it only looks at is nothing."""
        operation, value = node
        if operation is sre.LITERAL:
            return chr(value)
        if is_single(node):
            return self._chance.choice(self._matching(node) or [""])
        if operation is sre.BRANCH:
            return self._sample(self._chance.choice(value[1]))
        if operation is sre.SUBPATTERN:
            return self._sample(value[3])
        if operation is sre.ATOMIC_GROUP:
            return self._sample(value)
        if operation in _REPEATS:
            least, most, body = value
            times = self._chance.randint(least, min(int(most), least + 2))
            return "".join(self._sample(body) for _ in range(times))
        return ""


def _long_repeats(nodes: Any, ahead: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """What comes before a repeat, and what it repeats."""
    for place, (operation, value) in enumerate(nodes):
        before = (*ahead, *nodes[:place])
        if operation in _REPEATS:
            if value[1] >= _LONG:
                yield before, value[2]
            yield from _long_repeats(value[2], before)
        elif operation is sre.BRANCH:
            for way in value[1]:
                yield from _long_repeats(way, before)
        elif operation is sre.SUBPATTERN:
            yield from _long_repeats(value[3], before)
        elif operation is sre.ATOMIC_GROUP:
            yield from _long_repeats(value, before)
        elif operation in (sre.ASSERT, sre.ASSERT_NOT):
            yield from _long_repeats(value[1], before)


def _codes(nodes: Any) -> Iterator[int]:
    """The characters that a pattern names, the ends of its ranges and their neighbours."""
    for operation, value in nodes:
        if operation in (sre.LITERAL, sre.NOT_LITERAL):
            yield value
        elif operation is sre.RANGE:
            yield from (value[0] - 1, *value, value[1] + 1)
        elif operation is sre.IN:
            yield from _codes(value)
        elif operation in _REPEATS:
            yield from _codes(value[2])
        elif operation is sre.BRANCH:
            for way in value[1]:
                yield from _codes(way)
        elif operation is sre.SUBPATTERN:
            yield from _codes(value[3])
        elif operation is sre.ATOMIC_GROUP:
            yield from _codes(value)
        elif operation in (sre.ASSERT, sre.ASSERT_NOT):
            yield from _codes(value[1])
