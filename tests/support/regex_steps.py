"""What `re` does with a pattern and a text, step by step, counted: a backtracking machine over re's own parse.

`re` counts nothing and has no limit, so the pattern is taken apart by `re._parser` and run by a machine that tries the
same ways in the same order (one step: one instruction). What a single character matches is asked of `re` itself.
tests/test_patterns.py holds that both find the same.
"""

import re
import re._compiler as compiler
import re._constants as sre
import re._parser as parser
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

METHODS = ("match", "fullmatch", "search", "finditer")
"""How a pattern may be applied; findall, sub and split go on as finditer does."""
MOST_STEPS = 1 << 21
"""A count ends here: whatever takes more is told as this many."""
_SET, _SPLIT, _JUMP, _AT, _MARK, _GROUP, _LOOK, _LOOKED, _NOT, _REFUSED, _CUT, _FAIL, _ONCE, _MATCH = range(14)
_ATS = {
    sre.AT_BEGINNING: 0,
    sre.AT_BEGINNING_STRING: 0,
    sre.AT_BEGINNING_LINE: 1,
    sre.AT_END: 2,
    sre.AT_END_STRING: 3,
    sre.AT_END_LINE: 4,
    sre.AT_BOUNDARY: 5,
    sre.AT_NON_BOUNDARY: 6,
}
_BACK = 7
"""So many characters back, where one looks behind."""
_SINGLE = {sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN}


def is_single(node: tuple[Any, Any]) -> bool:
    """Does a node of the parse match one character?"""
    return node[0] in _SINGLE


@dataclass
class Machine:
    """A compiled pattern as instructions (operation, a, b); `singles` are its nodes of one character."""

    pattern: re.Pattern[Any]
    code: list[tuple[int, int, int]] = field(default_factory=list, init=False)
    singles: dict[str, re.Pattern[Any]] = field(default_factory=dict, init=False)
    _kinds: dict[str, list[bool]] = field(default_factory=dict, init=False)
    registers: int = field(init=False)

    def __post_init__(self) -> None:
        source = self.pattern.pattern
        self.is_bytes = isinstance(source, bytes)
        self.tree = parser.parse(source, self.pattern.flags & ~sre.SRE_FLAG_DEBUG)
        self.has_references = "GROUPREF" in repr(self.tree)
        self.registers = 2 * self.tree.state.groups
        self._sequence(self.tree, self.tree.state.flags)
        self._add(_MATCH)

    @cached_property
    def _instructions(self) -> NDArray[np.int32]:
        return np.array(self.code, np.int32)

    def single(self, node: tuple[Any, Any], flags: int | None = None) -> re.Pattern[Any]:
        """A node of one character, as a pattern that `re` compiled."""
        flags = self.tree.state.flags if flags is None else flags
        key = f"{node} {flags}"
        if key not in self.singles:
            state = parser.State()
            state.flags, state.str = flags, self.pattern.pattern
            self.singles[key] = compiler.compile(parser.SubPattern(state, [node]), flags)
        return self.singles[key]

    def encoded(self, char: str) -> Any:
        """A character as the pattern takes it."""
        return char.encode("latin-1") if self.is_bytes else char

    def takes(self, char: str) -> list[bool]:
        """Which of its single characters, letters of words, and ends of lines a character is."""
        if char not in self._kinds:
            one = self.encoded(char)
            kinds = [*(single.fullmatch(one) for single in self.singles.values()), self._word.fullmatch(one)]
            self._kinds[char] = [*map(bool, kinds), char == "\n"]
        return self._kinds[char]

    @cached_property
    def _word(self) -> re.Pattern[Any]:
        return re.compile(rb"\w") if self.is_bytes else re.compile(r"\w", self.pattern.flags & re.ASCII)

    def steps(self, text: str, method: str) -> tuple[int, list[tuple[int, int]]]:
        """Steps until the method has its answer (at most MOST_STEPS), and the spans that it gives."""
        letters, codes = np.unique(np.array([ord(char) for char in text], np.int32), return_inverse=True)
        member = np.array([self.takes(chr(code)) for code in letters], np.bool_).reshape(-1, len(self.singles) + 2).T
        count, spans = _run(self._instructions, codes.astype(np.int32), member, self.registers, METHODS.index(method))
        return int(count), [(int(begin), int(end)) for begin, end in spans]

    def _add(self, operation: int, a: int = 0, b: int = 0) -> int:
        self.code.append((operation, a, b))
        return len(self.code) - 1

    def _register(self) -> int:
        self.registers += 2
        return self.registers - 2

    def _sequence(self, nodes: Iterable[tuple[Any, Any]], flags: int) -> None:
        for node in nodes:
            self._node(node, flags)

    def _node(self, node: tuple[Any, Any], flags: int) -> None:
        operation, value = node
        if is_single(node):
            self.single(node, flags)
            self._add(_SET, list(self.singles).index(f"{node} {flags}"))
        elif operation is sre.AT:
            if flags & re.MULTILINE:
                value = {sre.AT_BEGINNING: sre.AT_BEGINNING_LINE, sre.AT_END: sre.AT_END_LINE}.get(value, value)
            self._add(_AT, _ATS[value])
        elif operation is sre.BRANCH:
            self._branch(value[1], flags)
        elif operation is sre.SUBPATTERN:
            group, added, removed, body = value
            marks = group is not None and self.has_references
            if marks:
                self._add(_MARK, 2 * (group - 1))
            self._sequence(body, (flags | added) & ~removed)
            if marks:
                self._add(_MARK, 2 * (group - 1) + 1)
        elif operation in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            self._repeat(*value, flags, is_lazy=operation is sre.MIN_REPEAT)
        elif operation in (sre.ATOMIC_GROUP, sre.POSSESSIVE_REPEAT):
            register = self._register()
            self._add(_LOOK, register)
            if operation is sre.ATOMIC_GROUP:
                self._sequence(value, flags)
            else:
                self._repeat(*value, flags, is_lazy=False)
            self._add(_CUT, register)
        elif operation in (sre.ASSERT, sre.ASSERT_NOT):
            self._look(operation is sre.ASSERT_NOT, *value, flags)
        elif operation is sre.GROUPREF:
            self._add(_GROUP, 2 * (value - 1))
        elif operation is sre.FAILURE:
            self._add(_FAIL)
        else:
            raise ValueError(f"no instruction counts {operation}, which is in {self.pattern.pattern!r}; write one here")

    def _branch(self, ways: list[Any], flags: int) -> None:
        leaves = []
        for way in ways[:-1]:
            split = self._add(_SPLIT)
            self._sequence(way, flags)
            leaves.append(self._add(_JUMP))
            self.code[split] = (_SPLIT, split + 1, len(self.code))
        self._sequence(ways[-1], flags)
        for leave in leaves:
            self.code[leave] = (_JUMP, len(self.code), 0)

    def _repeat(self, least: int, most: int, body: Any, flags: int, is_lazy: bool) -> None:
        def split(at: int, inside: int, outside: int) -> None:
            self.code[at] = (_SPLIT, outside, inside) if is_lazy else (_SPLIT, inside, outside)

        for _ in range(least):
            self._sequence(body, flags)
        if most is sre.MAXREPEAT:
            register = self._register() if body.getwidth()[0] == 0 else None
            loop = self._add(_SPLIT)
            if register is not None:
                self._add(_MARK, register)
            self._sequence(body, flags)
            if register is not None:
                self._add(_ONCE, register, len(self.code) + 2)
            self._add(_JUMP, loop)
            split(loop, loop + 1, len(self.code))
            return
        leaves = []
        for _ in range(most - least):
            leaves.append(self._add(_SPLIT))
            self._sequence(body, flags)
        for leave in leaves:
            split(leave, leave + 1, len(self.code))

    def _look(self, is_refused: bool, direction: int, body: Any, flags: int) -> None:
        register = self._register()
        width = body.getwidth()[0] if direction < 0 else 0
        begin = self._add(_NOT if is_refused else _LOOK)
        self._add(_AT, _BACK, width)
        self._sequence(body, flags)
        self._add(_REFUSED if is_refused else _LOOKED, register)
        self.code[begin] = (_NOT, register, len(self.code)) if is_refused else (_LOOK, register, 0)


@njit(cache=True)
def _is_at(kind: int, at: int, codes: Any, member: Any) -> bool:
    size, word, newline = len(codes), member[-2], member[-1]
    if kind == 0:
        return at == 0
    if kind == 1:
        return at == 0 or newline[codes[at - 1]]
    if kind == 2:
        return at == size or (at == size - 1 and newline[codes[at]])
    if kind == 3:
        return at == size
    if kind == 4:
        return at == size or newline[codes[at]]
    before = at > 0 and word[codes[at - 1]]
    here = at < size and word[codes[at]]
    return (before != here) == (kind == 5) and size > 0


@njit(cache=True)
def _run(program: Any, codes: Any, member: Any, registers: int, method: int) -> tuple[int, list[tuple[int, int]]]:
    """Steps and spans. The stack holds ways not yet tried (place, position) and registers to put back (-1-n, value)."""
    size, steps, begin, empty_at = len(codes), 0, 0, -1
    stack = np.empty((1 << 12, 2), np.int32)
    register = np.full(registers + 1, -1, np.int32)
    spans = [(0, 0) for _ in range(0)]
    while begin <= size:
        register[:] = -1
        top, place, at, has_matched = 0, 0, begin, False
        while True:
            steps += 1
            if steps >= MOST_STEPS:
                return MOST_STEPS, spans
            if top + 4 > len(stack):
                more = np.empty((2 * len(stack), 2), np.int32)
                more[:top] = stack[:top]
                stack = more
            operation, a, b = program[place, 0], program[place, 1], program[place, 2]
            is_well = True
            if operation == _SET:
                is_well = at < size and member[a, codes[at]]
                at += 1
                place += 1
            elif operation == _SPLIT:
                stack[top, 0], stack[top, 1] = b, at
                top += 1
                place = a
            elif operation == _JUMP:
                place = a
            elif operation == _AT:
                if a == _BACK:
                    at -= b
                    is_well = at >= 0
                else:
                    is_well = _is_at(a, at, codes, member)
                place += 1
            elif operation == _MARK:
                stack[top, 0], stack[top, 1] = -1 - a, register[a]
                top += 1
                register[a] = at
                place += 1
            elif operation == _GROUP:
                first, last = register[a], register[a + 1]
                is_well = first >= 0 and last >= first and at + last - first <= size
                if is_well:
                    for offset in range(last - first):
                        steps += 1
                        if codes[first + offset] != codes[at + offset]:
                            is_well = False
                            break
                    at += last - first
                place += 1
            elif operation == _LOOK:
                register[a], register[a + 1] = top, at
                place += 1
            elif operation == _LOOKED:
                top, at = register[a], register[a + 1]
                place += 1
            elif operation == _NOT:
                register[a] = top
                stack[top, 0], stack[top, 1] = b, at
                top += 1
                place += 1
            elif operation == _REFUSED:
                top = register[a]
                is_well = False
            elif operation == _CUT:
                top = register[a]
                place += 1
            elif operation == _ONCE:
                place = b if register[a] == at else place + 1
            elif operation == _FAIL or (method == 1 and at < size) or (method == 3 and at == empty_at):
                is_well = False  # a fullmatch that does not reach the end; a second empty match at one place
            else:
                has_matched = True
                break
            if is_well:
                continue
            while top > 0 and stack[top - 1, 0] < 0:
                top -= 1
                register[-1 - stack[top, 0]] = stack[top, 1]
            if top == 0:
                break
            top -= 1
            place, at = stack[top, 0], stack[top, 1]
        if has_matched:
            spans.append((begin, at))
            if method < 3:
                break
            empty_at = at if at == begin else -1
            begin = at
            continue
        if method < 2:
            break
        begin += 1
        empty_at = -1
    return steps, spans
