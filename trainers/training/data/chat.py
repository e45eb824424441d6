"""Conversations as token ids by a model's own template; what people wrote is text, whatever it spells.

A text that spells a control token (`<|im_end|>`) would otherwise end a turn, or forge another's.
"""

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from trainers.contract import BadData
from trainers.conversations.messages import Messages, texts_of
from trainers.training.data.turns import TurnBorders, turn_borders
from trainers.training.templates import has_generation_marks

_FIRST_MARK = 0xF0000
"""Characters of a private plane: each stands for a control token in a text while the template is written around it."""
_PROBE = "k7qz"
"""A word that no template has."""
Tools = Sequence[dict[str, Any]]
Names = tuple[tuple[str, str], ...]
"""Named special tokens, as a template asks for them."""


@dataclass(frozen=True)
class Encoded:
    """Token ids, and of each whether the assistant speaks it."""

    ids: list[int]
    spoken: list[bool]


def encode(
    messages: Messages,
    tokenizer: Any,
    tools: Tools = (),
    add_generation_prompt: bool = False,
    ends_with_turn: bool = False,
) -> Encoded:
    """A conversation through the tokenizer's template; `ends_with_turn`: without the line breaks after the last turn.

    Raises:
        BadData: the template refuses the conversation, or does not tell the assistant's turns in it from the rest.
        BadRequest: it never does.
    """
    messages, spelt = _without_controls(messages, control_tokens(tokenizer))
    text, spans = _written(messages, tokenizer, tools, add_generation_prompt)
    text = text.rstrip("\n") if ends_with_turn else text
    ids: list[int] = []
    spoken: list[bool] = []
    at = 0
    for match in [*re.finditer(f"[{chr(_FIRST_MARK)}-{chr(0xFFFFD)}]", text), None] if spelt else [None]:
        end = match.start() if match else len(text)
        for token, (begin, _) in zip(*_tokens(text[at:end], tokenizer), strict=True):
            ids.append(token)
            spoken.append(_is_in(at + begin, spans))
        if match:
            literal = as_text(spelt[ord(match[0]) - _FIRST_MARK], tokenizer)
            ids += literal
            spoken += [_is_in(match.start(), spans)] * len(literal)
            at = match.end()
    return Encoded(ids, spoken)


def control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """What a text must not be able to say: every special token of a tokenizer."""
    added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    names = sorted({*added, *tokenizer.all_special_tokens}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names)) or r"(?!)")


def as_text(text: str, tokenizer: Any) -> list[int]:
    """Token ids of a text in which nothing is a control token."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return ids


def unplaced(messages: Messages, tools: Tools, tokenizer: Any) -> str | None:
    """What of a conversation the tokenizer's template has no place for, as a reason; None where it writes all of it."""
    calls = bool(tools) or any(turn["role"] == "tool" or "tool_calls" in turn for turn in messages)
    if calls and not _has_place_for_tools(tokenizer):
        return "no_place_for_tools"
    if any("reasoning_content" in turn for turn in messages) and not _has_place_for_reasoning(tokenizer):
        return "no_place_for_reasoning"
    try:
        _written(_without_controls(messages, control_tokens(tokenizer))[0], tokenizer, tools)
    except BadData:
        return "refused_by_template"
    return None


def _has_place_for_tools(tokenizer: Any) -> bool:
    function = {"name": f"{_PROBE}call", "arguments": {"word": f"{_PROBE}argument"}}
    tool = {"type": "function", "function": {"name": f"{_PROBE}tool", "description": "x", "parameters": {}}}
    messages: Messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]},
        {"role": "tool", "content": f"{_PROBE}result"},
        {"role": "assistant", "content": "x"},
    ]
    return _writes(messages, tokenizer, [tool], "call", "argument", "tool", "result")


def _has_place_for_reasoning(tokenizer: Any) -> bool:
    messages: Messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "x", "reasoning_content": f"{_PROBE}thought"},
    ]
    return _writes(messages, tokenizer, (), "thought")


def _writes(messages: Messages, tokenizer: Any, tools: Tools, *words: str) -> bool:
    try:
        text, _ = _written(messages, tokenizer, tools)
    except BadData:
        return False
    return all(_PROBE + word in text for word in words)


def _without_controls(messages: Messages, controls: re.Pattern[str]) -> tuple[Messages, list[str]]:
    """The conversation with a mark for each control token that its texts spell, and what they spell, in order."""
    spelt: list[str] = []

    def mark(match: re.Match[str]) -> str:
        spelt.append(match[0])
        return chr(_FIRST_MARK + len(spelt) - 1)

    if any(controls.search(holder[key]) for turn in messages for holder, key in texts_of(turn)):
        messages = deepcopy(messages)
        for holder, key in (place for turn in messages for place in texts_of(turn)):
            holder[key] = controls.sub(mark, holder[key])
    return messages, spelt


def _written(
    messages: Messages, tokenizer: Any, tools: Tools = (), add_generation_prompt: bool = False
) -> tuple[str, list[tuple[int, int]]]:
    """The conversation as text, and where in it the assistant speaks."""
    template, names = tokenizer.get_chat_template(), tuple(tokenizer.special_tokens_map.items())
    text, spans = _rendered(messages, template, names, tools, add_generation_prompt)
    if not has_generation_marks(template):
        turns = sum(turn["role"] == "assistant" for turn in messages)
        spans = _turn_borders(template, names, control_tokens(tokenizer)).spans(text, turns)
    return text, spans


@lru_cache
def _turn_borders(template: str, names: Names, controls: re.Pattern[str]) -> TurnBorders:
    return turn_borders(lambda messages, then: _rendered(messages, template, names, (), then)[0], controls)


def _rendered(
    messages: Messages, template: str, names: Names, tools: Tools, add_generation_prompt: bool
) -> tuple[str, list[tuple[int, int]]]:
    """The text, and where in it the template's own marks stand; no line break after a turn's end is the assistant's."""
    try:
        texts, spans = render_jinja_template(
            [messages],
            tools=list(tools) or None,
            chat_template=template,
            return_assistant_tokens_mask=has_generation_marks(template),
            add_generation_prompt=add_generation_prompt,
            **dict(names),
        )
    except (TemplateError, TypeError) as error:
        roles = " ".join(turn["role"] for turn in messages)
        raise BadData(f"the chat template refuses a conversation of {roles[:80]}: {error}") from error
    text = str(texts[0])
    return text, [(begin, begin + len(text[begin:end].rstrip("\n"))) for begin, end in (spans[0] if spans else [])]


def _tokens(text: str, tokenizer: Any) -> tuple[list[int], list[tuple[int, int]]]:
    if not text:
        return [], []
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return encoded["input_ids"], encoded["offset_mapping"]


def _is_in(place: int, spans: list[tuple[int, int]]) -> bool:
    return any(begin <= place < end for begin, end in spans)
