"""Stage `instructions`: landed instruction data, in whatever usual form, become checked conversations."""

from typing import Any

from trainers.conversations.columns import INSTRUCTION, Values
from trainers.conversations.messages import (
    Messages,
    check_order,
    content,
    message,
    messages,
    refuse_pictures,
    tool_definitions,
)
from trainers.conversations.rows import Row
from trainers.conversations.sets import make_set
from trainers.runner.stage import StageContext, StageResult
from trainers.text.records import Unusable
from trainers.text.speech_levels import LEVELS

_HEAVIEST = 1000
_NO_CONTEXT = frozenset({"", "<noinput>", "<no input>"})
"""How sets made by models say that there is nothing below the question."""


def run(context: StageContext) -> StageResult:
    """Leave `train.jsonl`, `validation.jsonl` and `exclusions.jsonl`."""
    return make_set(context, INSTRUCTION, conversation, identity=("messages", "tools"), prompt=_prompt)


def conversation(row: Values) -> Row:
    """One landed row as `messages`, ending with the assistant; its `tools`, `weight` and `honorific` where it has them.

    Raises:
        Unusable: the row is no conversation; says why.
    """
    values = row.of
    refuse_pictures(row)
    if "messages" in values:
        turns = with_system(messages(values["messages"]), values)
    elif "prompt" in values and "response" in values:
        turns = [*opening(values), *_answer(values)]
        check_order(turns, "the conversation")
    else:
        raise row.unknown("instructions", ("prompt", "response"))
    if turns[-1]["role"] != "assistant":
        raise Unusable("no_answer", "the last message is not the assistant's")
    if not any(turn["role"] == "assistant" and turn.get("weight", 1) for turn in turns):
        raise Unusable("no_answer", "every answer has weight 0")
    return {"messages": turns, **tools_of(values), **_marks(values)}


def opening(values: dict[str, Any]) -> Messages:
    """The turns before an answer: the system's, those of `history`, and the prompt with its context.

    Raises:
        Unusable: one of them is wrong.
    """
    turns: Messages = []
    history = values.get("history") or []
    if not isinstance(history, list):
        raise Unusable("bad_history", f"history is a JSON {type(history).__name__}")
    for number, turn in enumerate(history, 1):
        where = f"history, turn {number}"
        if isinstance(turn, dict):
            turns.append(message(turn, where))
        elif isinstance(turn, list) and len(turn) == 2:
            turns.append({"role": "user", "content": content(turn[0], where)})
            turns.append({"role": "assistant", "content": content(turn[1], where)})
        else:
            raise Unusable("bad_history", f"{where} is neither [question, answer] nor a message")
    if isinstance(values["prompt"], list):
        turns += messages(values["prompt"], "prompt")
    else:
        question = content(values["prompt"], "prompt")
        context = values.get("context") or ""
        if not isinstance(context, str) or context.strip() not in _NO_CONTEXT:
            question = f"{question}\n\n{content(context, 'context')}"
        turns.append({"role": "user", "content": question})
    return with_system(turns, values)


def with_system(turns: Messages, values: dict[str, Any]) -> Messages:
    """The turns after what the row's `system` says.

    Raises:
        Unusable: a message says something else as the system.
    """
    if not values.get("system"):
        return turns
    system = {"role": "system", "content": content(values["system"], "system")}
    if turns[0]["role"] != "system":
        return [system, *turns]
    if turns[0] != system:
        raise Unusable("two_systems", "the row's system and that of its messages differ")
    return turns


def tools_of(values: dict[str, Any]) -> Row:
    """The row's tools, where it has any."""
    tools = tool_definitions(values["tools"]) if values.get("tools") else []
    return {"tools": tools} if tools else {}


def _answer(values: dict[str, Any]) -> Messages:
    response = values.get("response")
    if isinstance(response, list) and response and isinstance(response[0], dict) and "type" not in response[0]:
        return [message(each, f"response, message {number}") for number, each in enumerate(response, 1)]
    if isinstance(response, dict):
        return [message(response, "response")]
    answer = {"role": "assistant", "content": content(response, "response")}
    if values.get("reasoning_content"):
        answer["reasoning_content"] = content(values["reasoning_content"], "reasoning")
    return [answer]


def _marks(values: dict[str, Any]) -> Row:
    marks: Row = {name: values[name] for name in ("weight", "honorific") if name in values}
    weight, level = marks.get("weight", 1), marks.get("honorific")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= _HEAVIEST:
        raise Unusable("bad_weight", f"weight {weight!r} must be a number above 0, at most {_HEAVIEST}")
    if level not in (None, *LEVELS):
        raise Unusable("unknown_honorific", f"honorific {level!r}; there are {', '.join(LEVELS)}")
    return marks


def _prompt(row: Row) -> object:
    return next(message for message in row["messages"] if message["role"] == "user")
