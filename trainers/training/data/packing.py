"""Documents laid into rows: packed into full ones, or one piece to a row; no token is lost.

A document longer than a row is cut at a sentence or paragraph end where one is near. Rows are filled best-fit:
the longest piece that still fits; where none fits, a row is completed with the beginning of the longest piece
that waits. So every row but the last is exactly full, and there is at most one such cut per row. No document is seen
by another, where the model's attention heeds the bounds (see leakage.py); for one that cannot, each piece is a row.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainers.text.sentence_rules import sentence_starts

Tokens = NDArray[np.int32]

_NEAR = 0.25
"""A boundary counts as near when it lies in the last quarter of the row."""


@dataclass
class Audit:
    """What packing did; tokens in and out are counted apart, where they enter and where they leave."""

    documents: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    rows: int = 0
    pieces: int = 0
    cut_at_sentence: int = 0
    cut_elsewhere: int = 0
    trained: int = 0

    def figures(self, row_length: int) -> dict[str, float]:
        """The audit as figures for a manifest. `fill` is over all rows, the last one included."""
        return {
            "documents": self.documents,
            "rows": self.rows,
            "tokens": self.tokens_in,
            "lost_tokens": self.tokens_in - self.tokens_out,
            "padded_tokens": 0,
            "fill": round(self.tokens_out / (self.rows * row_length), 6) if self.rows else 1.0,
            "trained_share": round(self.trained / self.tokens_out, 6) if self.tokens_out else 1.0,
            "cut_at_sentence": self.cut_at_sentence,
            "cut_elsewhere": self.cut_elsewhere,
            "pieces": self.pieces,
        }


@dataclass(frozen=True)
class PackedRow:
    """Tokens of one training row (at most the row's length), and the lengths of the pieces in it."""

    tokens: Tokens
    lengths: list[int]


def sentence_ends(text: str, starts: NDArray[np.int64]) -> list[int]:
    """Token indices at which a new sentence or paragraph begins; `starts`: each token's first character."""
    # A token may begin with the space before the sentence, so it starts one character early.
    places = (place - text[place - 1].isspace() for place in sentence_starts(text))
    return sorted({int(np.searchsorted(starts, place)) for place in places})


def cut(tokens: Tokens, ends: list[int], row_length: int, audit: Audit) -> Iterator[Tokens]:
    """Cut one document into pieces of at most `row_length` tokens, at one of `ends` where one is near."""
    start = 0
    while len(tokens) - start > row_length:
        limit = start + row_length
        at = bisect_right(ends, limit) - 1
        near = at >= 0 and ends[at] > limit - row_length * _NEAR
        # The last piece has two tokens at least: one alone has nothing to be predicted from.
        stop = min(ends[at] if near else limit, len(tokens) - 2)
        audit.cut_at_sentence += near
        audit.cut_elsewhere += not near
        yield tokens[start:stop]
        start = stop
    yield tokens[start:]


@dataclass
class _Waiting:
    """Pieces that wait for a row, by length."""

    stacks: dict[int, list[Tokens]] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    tokens: int = 0

    def put(self, piece: Tokens) -> None:
        stack = self.stacks.get(len(piece))
        if stack is None:
            stack = self.stacks[len(piece)] = []
            insort(self.lengths, len(piece))
        stack.append(piece)
        self.tokens += len(piece)

    def take(self, room: int) -> Tokens:
        """The longest piece of at most `room` tokens, else the longest of all."""
        at = bisect_right(self.lengths, room) - 1
        length = self.lengths[at]  # at is -1 where nothing fits: the longest
        stack = self.stacks[length]
        piece = stack.pop()
        if not stack:
            del self.stacks[length]
            self.lengths.remove(length)
        self.tokens -= length
        return piece


def pack(pieces: Iterable[Tokens], row_length: int, audit: Audit, window: int = 1 << 24) -> Iterator[PackedRow]:
    """Pack pieces (each 1 to `row_length` tokens) into rows; at most about `window` tokens are held in memory.

    Only the last row may be shorter than `row_length`.
    """
    waiting = _Waiting()
    for piece in pieces:
        waiting.put(piece)
        if waiting.tokens >= window:
            while waiting.tokens >= window // 2 and waiting.tokens >= row_length:
                yield _fill(waiting, row_length, audit)
    while waiting.tokens:
        yield _fill(waiting, row_length, audit)


def _fill(waiting: _Waiting, row_length: int, audit: Audit) -> PackedRow:
    chosen: list[Tokens] = []
    room = row_length
    while room and waiting.tokens:
        piece = waiting.take(room)
        if len(piece) > room:
            waiting.put(piece[room:])
            piece = piece[:room]
            audit.cut_elsewhere += 1
        chosen.append(piece)
        room -= len(piece)
    return _row(chosen, audit)


def lay_singly(pieces: Iterable[Tokens], audit: Audit) -> Iterator[PackedRow]:
    """Each piece as a row of its own, in their order."""
    for piece in pieces:
        yield _row([piece], audit)


def _row(chosen: list[Tokens], audit: Audit) -> PackedRow:
    lengths = [len(piece) for piece in chosen]
    audit.rows += 1
    audit.pieces += len(chosen)
    audit.tokens_out += sum(lengths)
    audit.trained += sum(lengths) - len(lengths)  # the first token of a piece has nothing to be predicted from
    return PackedRow(np.concatenate(chosen), lengths)
