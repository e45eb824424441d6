"""Conversations as token ids with the assistant's part marked, by the model's own chat template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.contract import BadData, BadRequest
from trainers.conversations.rows import Messages
from trainers.text.speech_levels import level_of
from trainers.training.data.rows import IGNORED


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


def render(conversations: Sequence[Messages], tokenizer: Any) -> list[Rendered]:
    """Render conversations with the tokenizer's template.

    Raises:
        BadRequest: the template marks nothing as the assistant's, though the assistant speaks.
    """
    if not conversations:
        return []
    encoded = tokenizer.apply_chat_template(
        list(conversations), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    rendered = []
    for messages, ids, mask in zip(conversations, encoded["input_ids"], encoded["assistant_masks"], strict=True):
        if not any(mask) and any(message["role"] == "assistant" for message in messages):
            raise BadRequest("the chat template marks no token as the assistant's; it needs {% generation %} marks")
        labels = [token if spoken else IGNORED for token, spoken in zip(ids, mask, strict=True)]
        rendered.append(Rendered(ids, labels))
    return rendered


def marked(rendered: Rendered, tokenizer: Any) -> str:
    """The text with each trained part in ⟦ ⟧, to be looked at by a person or a test."""
    parts: list[tuple[bool, list[int]]] = []
    for token, label in zip(rendered.ids, rendered.labels, strict=True):
        trained = label != IGNORED
        if not parts or parts[-1][0] != trained:
            parts.append((trained, []))
        parts[-1][1].append(token)
    texts = [(trained, tokenizer.decode(ids, skip_special_tokens=False)) for trained, ids in parts]
    return "".join(f"⟦{text}⟧" if trained else text for trained, text in texts)


def require_stop_is_trained(rendered: Rendered, tokenizer: Any) -> None:
    """Refuse labels without the token that ends a turn: the model would never learn to stop.

    Raises:
        BadData: the last trained token is no special token.
    """
    last = next((label for label in reversed(rendered.labels) if label != IGNORED), None)
    if last not in tokenizer.all_special_ids:
        raise BadData(
            f"the assistant's turn ends in {tokenizer.decode([last]) if last is not None else 'nothing'!r}, not in an "
            "end-of-turn token; put that token inside the template's {% generation %} marks"
        )


def with_system(messages: Messages, prompt: str | None) -> Messages:
    """The conversation with a system turn, where it has none of its own and there is a prompt."""
    if not prompt or (messages and messages[0]["role"] == "system"):
        return messages
    return [{"role": "system", "content": prompt}, *messages]
