"""Conversations as token ids with the assistant's part marked, by the model's own chat template."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any

from trainers.contract import BadData, BadRequest
from trainers.contract.names import shown
from trainers.conversations.messages import Messages
from trainers.text.speech_levels import level_of
from trainers.training.data.chat import Tools, encode
from trainers.training.data.rows import IGNORED

_GREEN, _DIM, PLAIN = "\033[32m", "\033[2m", "\033[0m"
"""A terminal's colours."""


@dataclass(frozen=True)
class Rendered:
    """One conversation: token ids, and labels that are the ids where the assistant speaks, else IGNORED."""

    ids: list[int]
    labels: list[int]
    weight: float = 1.0

    @property
    def trained(self) -> int:
        """Tokens with a loss; the first one of a conversation has nothing to be predicted from."""
        return sum(label != IGNORED for label in self.labels[1:])


def with_level(messages: Messages, level: str | None, prompts: Mapping[Any, str]) -> Messages:
    """The conversation with its level's line at the end of its system turn.

    `level` is what the row says; where it says none, it is the one that all answers share, if they do.
    """
    answers = {level_of(message["content"]) for message in messages if message["role"] == "assistant"}
    line = prompts.get(level or (answers.pop() if len(answers) == 1 else ""))
    if line is None:
        return messages
    if messages[0]["role"] != "system":
        return [{"role": "system", "content": line}, *messages]
    return [{"role": "system", "content": f"{messages[0]['content']}\n{line}"}, *messages[1:]]


def render(conversations: Sequence[Messages], tokenizer: Any, tools: Sequence[Tools] = ()) -> list[Rendered]:
    """Render conversations with the tokenizer's template; what the assistant says with weight 0 is not learned.

    Args:
        tools: of each conversation, where any has some.

    Raises:
        BadRequest: the template marks nothing as the assistant's, or not each of its turns, though it speaks.
    """
    rendered = []
    for messages, each in zip_longest(conversations, tools, fillvalue=()):
        encoded = encode(list(messages), tokenizer, each)
        if not any(encoded.spoken) and any(message["role"] == "assistant" for message in messages):
            raise BadRequest("the chat template marks no token as the assistant's; it needs {% generation %} marks")
        learned = _learned(encoded.spoken, list(messages))
        labels = [token if learn else IGNORED for token, learn in zip(encoded.ids, learned, strict=True)]
        rendered.append(Rendered(encoded.ids, labels))
    return rendered


def _learned(spoken: list[bool], messages: Messages) -> list[bool]:
    """Which tokens are learned: those that the assistant speaks, but for its turns of weight 0."""
    weights = [message.get("weight", 1) for message in messages if message["role"] == "assistant"]
    if all(weights):
        return spoken
    runs = [(speaks, len(list(run))) for speaks, run in groupby(spoken)]
    if sum(speaks for speaks, _ in runs) != len(weights):
        raise BadRequest("the chat template does not mark each turn of the assistant by itself, as weights need it")
    turns = iter(weights)
    return [learn for speaks, length in runs for learn in [bool(speaks and next(turns))] * length]


def marked(rendered: Rendered, tokenizer: Any) -> str:
    """The text with each trained part in ⟦ ⟧, to be looked at by a person or a test."""
    parts = _parts(rendered.ids, rendered.labels, tokenizer)
    return "".join(f"⟦{text}⟧" if trained else text for trained, text in parts)


def coloured(ids: Sequence[int], labels: Sequence[int], tokenizer: Any) -> str:
    """The text for a terminal: trained parts green, the others dim; what steers a terminal is written as escapes."""
    parts = []
    for trained, text in _parts(ids, labels, tokenizer):
        lines = "\n".join(map(shown, text.split("\n")))
        parts.append(f"{_GREEN if trained else _DIM}{lines}{PLAIN}")
    return "".join(parts)


def _parts(ids: Sequence[int], labels: Sequence[int], tokenizer: Any) -> Iterator[tuple[bool, str]]:
    """Runs of tokens that are trained or are not, as text."""
    tokens = zip(ids, labels, strict=True)
    for trained, run in groupby(tokens, lambda token: token[1] != IGNORED):
        yield trained, tokenizer.decode([token for token, _ in run], skip_special_tokens=False)


def require_stop_is_trained(rendered: Rendered, tokenizer: Any, end_of_turn: int) -> None:
    """Refuse labels without the token that ends a turn: the model would never learn to stop.

    Raises:
        BadData: the last trained token is another one.
    """
    last = next((label for label in reversed(rendered.labels) if label != IGNORED), None)
    if last != end_of_turn:
        raise BadData(
            f"the assistant's turn ends in {tokenizer.decode([last]) if last is not None else 'nothing'!r}, not in "
            f"{tokenizer.decode([end_of_turn])!r}, which ends a turn of this model; put that token inside the "
            "template's {% generation %} marks"
        )


def with_system(messages: Messages, prompt: str | None) -> Messages:
    """The conversation with a system turn, where it has none of its own and there is a prompt."""
    if not prompt or (messages and messages[0]["role"] == "system"):
        return messages
    return [{"role": "system", "content": prompt}, *messages]
