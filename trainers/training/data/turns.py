"""Where the assistant speaks in a chat whose template does not say it: from its header to the end of its turn."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainers.contract import BadData, BadRequest
from trainers.conversations.messages import Messages

_ASKS, _SAYS = ("k7qzu", "k7qzv"), ("k7qza", "k7qzb")
"""Words that no template has, none the beginning of another."""

Write = Callable[[Messages, bool], str]
"""A conversation, and whether it ends where the assistant is to speak -> its text."""


@dataclass(frozen=True)
class TurnBorders:
    """What stands before and after what the assistant says, in every chat of a template."""

    header: str
    end: str

    def spans(self, text: str, turns: int) -> list[tuple[int, int]]:
        """Begin and end of each of the assistant's turns, end marks included.

        Raises:
            BadData: there are not as many as the conversation has turns of the assistant.
        """
        spans: list[tuple[int, int]] = []
        for match in re.finditer(re.escape(self.header), text):
            end = text.find(self.end, match.end())
            if end < 0 or (spans and match.end() < spans[-1][1]):
                break
            spans.append((match.end(), end + len(self.end)))
        if len(spans) != turns:
            raise BadData(
                f"the chat template writes {turns} turns of the assistant so that {len(spans)} of them can be told "
                f"from the rest, by {self.header!r} before and {self.end!r} after; put {{% generation %}} marks into a "
                "copy of it, and name that file with base_model's key 'template'"
            )
        return spans


def turn_borders(write: Write, controls: re.Pattern[str]) -> TurnBorders:
    """What a template puts around the assistant's turns, seen from two exchanges that it writes.

    Text cannot spell the marks, since both hold a control token.

    Args:
        controls: the tokenizer's control tokens.

    Raises:
        BadRequest: no control token begins or ends the turns, or the last one ends in another.
    """
    first, says, second, last = (
        {"role": role, "content": word}
        for words in zip(_ASKS, _SAYS, strict=True)
        for role, word in zip(("user", "assistant"), words, strict=True)
    )
    whole, question = write([first, says, second, last], False), write([first, says, second], False)
    asking = [write([first], True), write([first, says, second], True)]
    before = [
        *(_between(whole, ask, say) for ask, say in zip(_ASKS, _SAYS, strict=True)),
        *(_between(text, ask) for text, ask in zip(asking, _ASKS, strict=True)),
    ]
    header = before[0][: common_start(before)]
    ends_of_user = _between(question, _ASKS[1])
    if header.startswith(ends_of_user) and len(header) > len(ends_of_user):
        header = header[len(ends_of_user) :]  # the system's or a tool's turn may end otherwise than the user's
    else:
        header = header[max((match.start() for match in controls.finditer(header)), default=len(header)) :]
    after = [_between(whole, _SAYS[0], _ASKS[1]), _between(whole, _SAYS[1])]
    ends = [match[0] if (match := controls.match(text.lstrip())) else "" for text in after]
    if not controls.search(header) or not ends[0] or ends[0] != ends[1]:
        raise BadRequest(
            "the chat template has no {% generation %} marks, and where the assistant speaks cannot be told without: "
            f"it begins its turns with {header!r} and ends them with {' or '.join(map(repr, dict.fromkeys(ends)))}, "
            "where control tokens are needed, the same for each turn; put the marks around the assistant's content in "
            "a copy of it and name that file with base_model's key 'template', or name a packaged template"
        )
    return TurnBorders(header, ends[0])


def common_start(sequences: Sequence[str] | Sequence[tuple[int, ...]]) -> int:
    """Length of the longest common prefix."""
    first, last = min(sequences), max(sequences)
    return next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _between(text: str, begin: str, end: str = "") -> str:
    """What stands after one word, up to another or to the end.

    Raises:
        BadRequest: a word is missing.
    """
    if begin not in text or end not in text:
        raise BadRequest(
            "the chat template has no {% generation %} marks, and it does not write what plain turns say; name a "
            "packaged template with base_model's key 'template'"
        )
    after = text.partition(begin)[2]
    return after.partition(end)[0] if end else after
