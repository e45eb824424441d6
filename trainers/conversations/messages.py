"""Messages as people have them, brought to one form: roles, contents, tool calls, reasoning, weights; their order."""

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from trainers.conversations.columns import REASONING, Values
from trainers.text.records import Unusable, repair_surrogates

Message = dict[str, Any]
"""`role` and `content`; of the assistant also `tool_calls`, `reasoning_content`, `weight` (0: not to be learned)."""
Messages = list[Message]
_ROLES = {
    **dict.fromkeys(("system", "developer", "시스템"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "usr", "customer", "사용자", "질문자", "고객", "질문"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "chatgpt", "ai", "chatbot", "function_call"), "assistant"),
    **dict.fromkeys(
        ("gpt-4", "bing", "bard", "claude", "agent", "상담사", "상담원", "답변", "챗봇", "비서"), "assistant"
    ),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "도구"), "tool"),
}
"""Roles by their usual names, in any case."""
_ROLE, _CONTENT = ("role", "from"), ("content", "value", "text", "parts")
_LEARNED = ("train", "training", "trainable", "loss")
"""Whether an answer is to be learned, as axolotl's and others' sets say it: false is weight 0."""
_READ = {*_LEARNED, *_ROLE, *_CONTENT, *REASONING, "weight", "tool_calls", "function_call", "tool_call_id", "name"}
_IS_PART = frozenset({"type", "text"})
_PICTURES = frozenset({"image", "images", "video", "videos", "audio", "audios"})
_FOLLOWS = {
    "": {"user"},
    "user": {"assistant"},
    "assistant": {"user"},
    "calls": {"tool"},
    "tool": {"tool", "assistant"},
}
"""Who may speak after whom; `calls`: an assistant that calls tools."""
_OPENS = (
    r"<\|im_start\|>\s*(?:system|user|assistant)\b",
    r"<\|start_header_id\|>\s*\w+\s*<\|end_header_id\|>",
    r"<start_of_turn>\s*(?:user|model)\b",
    r"(?:<s>\s*)?\[INST\]",
    r"<\|(?:system|user|assistant|end_of_turn)\|>",
    r"\[\|(?:system|user|assistant)\|\]",
    r"###\s*(?:Instruction|명령어|지시|질문)s?\s*:",
)
_TURN = re.compile(rf"\s*(?:(?:<\|begin_of_text\|>|<bos>|<s>)\s*)?(?:{'|'.join(_OPENS)})")
_END = re.compile(
    r"(?:<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<\|endoftext\|>|<\|end_of_text\|>|</s>|\[\|endofturn\|\])\s*$"
)
_HH = re.compile(r"(?:^|(?<!\n)\n+)(Human|Assistant|사람|인간|사용자|비서|어시스턴트): ?")
_HH_ASKS = frozenset({"Human", "사람", "인간", "사용자"})
_PICTURE = re.compile(r"<(?:image|video|audio)(?:_?\d+)?>")


def content(value: Any, name: str) -> str:
    """A non-empty text in NFC; of parts, their texts.

    Raises:
        Unusable: it is missing, no text, empty, or carries a chat template of its own.
    """
    if value is None:
        raise Unusable("field_missing", name)
    if isinstance(value, list) and value and all(isinstance(part, dict) and _IS_PART & part.keys() for part in value):
        kinds = {str(part.get("type", "no text")) for part in value if not isinstance(part.get("text"), str)}
        if kinds:
            raise Unusable("field_not_text", f"{name} has parts of the kinds {', '.join(sorted(kinds))[:80]}")
        value = "\n".join(part["text"] for part in value)
    if not isinstance(value, str):
        raise Unusable("field_not_text", f"{name} is a JSON {type(value).__name__}")
    text = unicodedata.normalize("NFC", repair_surrogates(value)[0]).strip()
    if not text:
        raise Unusable("field_empty", name)
    if mark := _TURN.match(text) or _END.search(text):
        raise Unusable("template_in_text", f"{name} carries the marks of a chat template: {mark.group()[:60]!r}")
    return text


def refuse_pictures(row: Values) -> None:
    """Refuse a row that is about a picture or a sound: its text alone would teach to see what is not there.

    Raises:
        Unusable: it has a column of them, and marks their place in its texts.
    """
    columns = sorted(name for name in row.ignored if name.casefold() in _PICTURES)
    if columns and _PICTURE.search(json.dumps(row.row, ensure_ascii=False, default=str)):
        raise Unusable("not_only_text", f"it is about what lies in its column {columns[0]!r}")


def messages(value: Any, name: str = "messages") -> Messages:
    """Checked messages: known roles, an optional system message first, then user and assistant in turn; tools between.

    Raises:
        Unusable: with the number of the first message that is wrong.
    """
    if not isinstance(value, list):
        raise Unusable("messages_not_list", f"{name} is a JSON {type(value).__name__}")
    if not value:
        raise Unusable("field_empty", name)
    if len(value) > 1 and all(isinstance(each, str) for each in value):  # LIMA's: question and answer in turn
        value = [{"role": ("user", "assistant")[n % 2], "content": each} for n, each in enumerate(value)]
    begin = 1 if _is_empty_system(value[0]) else 0
    checked = [message(each, f"{name}, message {number}") for number, each in enumerate(value[begin:], begin + 1)]
    if not checked:
        raise Unusable("field_empty", name)
    check_order(checked, name)
    return checked


def _is_empty_system(value: Any) -> bool:
    """A system message that says nothing, as many programs write one."""
    there = value if isinstance(value, dict) else {}
    body = first_of(there, _CONTENT)
    is_system = _ROLES.get(_speaker(there)) == "system"
    return is_system and (body is None or (isinstance(body, str) and not body.strip()))


def _speaker(there: Message) -> str:
    """Who speaks, as it is spelt there but in small letters; empty where nobody is named."""
    spoken = first_of(there, _ROLE)
    return spoken.strip().casefold() if isinstance(spoken, str) else ""


def message(value: Any, where: str) -> Message:
    """One message in our form.

    Raises:
        Unusable: it is no message; says why.
    """
    if not isinstance(value, dict):
        raise Unusable("message_not_object", f"{where} is a JSON {type(value).__name__}")
    there = {key: inner for key, inner in value.items() if inner is not None}
    speaker = _speaker(there)
    role = _ROLES.get(speaker)
    if role is None:
        spelt = str(first_of(there, _ROLE))[:40]
        raise Unusable("unknown_role", f"{where}: {spelt!r}; there are {', '.join(_ROLES)}")
    if role != "assistant":
        return {"role": role, "content": content(first_of(there, _CONTENT), where)}
    calls = _tool_calls(there, speaker, where)
    body = first_of(there, _CONTENT) if speaker != "function_call" else None
    checked: Message = {"role": role, "content": "" if calls and body in (None, "", []) else content(body, where)}
    if reasoning := first_of(there, REASONING):
        checked["reasoning_content"] = content(reasoning, f"{where}, reasoning")
    if calls:
        checked["tool_calls"] = calls
    weight = 0 if any(there.get(name) is False for name in _LEARNED) else there.get("weight", 1)
    if isinstance(weight, bool) or weight not in (0, 1):
        raise Unusable("bad_weight", f"{where}: weight {weight!r}; a message has 0 (not to be learned) or 1")
    return checked if weight else {**checked, "weight": 0}


def check_order(turns: Messages, name: str) -> None:
    """Refuse turns in which nobody could have spoken so.

    Raises:
        Unusable: names the roles.
    """
    last = ""
    for turn in turns[1:] if turns[0]["role"] == "system" else turns:
        if turn["role"] not in _FOLLOWS[last]:
            raise Unusable("roles_out_of_order", f"{name}: {' '.join(each['role'] for each in turns)[:80]}")
        last = "calls" if turn.get("tool_calls") else turn["role"]


def ignored_keys(value: Any) -> set[str]:
    """Keys of messages that nothing reads."""
    there = value if isinstance(value, list) else [value]
    return {
        str(key)
        for each in there
        if isinstance(each, dict)
        for key, inner in each.items()
        if inner is not None and key not in _READ
    }


def human_and_assistant(text: str) -> Messages | None:
    """The messages of a text like Anthropic's HH (`\\n\\nHuman: ... \\n\\nAssistant: ...`); None where it is none."""
    pieces = _HH.split(text)
    if len(pieces) < 3 or pieces[0].strip() or pieces[1] not in _HH_ASKS:
        return None
    roles, contents = pieces[1::2], pieces[2::2]
    return [
        {"role": "user" if role in _HH_ASKS else "assistant", "content": content(each, f"turn {number}")}
        for number, (role, each) in enumerate(zip(roles, contents, strict=True), 1)
    ]


def texts_of(turn: Message) -> Iterator[tuple[dict[str, Any], str]]:
    """Every text of a message, as the object and the key that hold it: also what tools are called with."""
    yield turn, "content"
    if "reasoning_content" in turn:
        yield turn, "reasoning_content"
    for call in turn.get("tool_calls", ()):
        yield from _leaves(call["function"]["arguments"])


def tool_definitions(value: Any) -> list[dict[str, Any]]:
    """The tools of a row: a list, or its JSON.

    Raises:
        Unusable: it is no list of objects.
    """
    tools = _from_json(value) if isinstance(value, str) else value
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise Unusable("bad_tools", f"tools must be a list of objects, or its JSON; it is a {type(tools).__name__}")
    return tools


def _leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        if isinstance(each, str):
            yield value, key
        else:
            yield from _leaves(each)


def _tool_calls(there: Message, speaker: str, where: str) -> list[dict[str, Any]]:
    """Calls in OpenAI's form, their arguments as an object, which is what templates write."""
    calls = there.get("tool_calls") or ([there["function_call"]] if "function_call" in there else [])
    if speaker == "function_call":
        given = _from_json(first_of(there, _CONTENT))
        calls = given if isinstance(given, list) else [given]
    if not isinstance(calls, list):
        raise Unusable("bad_tool_call", f"{where}: tool_calls is a JSON {type(calls).__name__}")
    return [_tool_call(call, where) for call in calls]


def _tool_call(call: Any, where: str) -> dict[str, Any]:
    function = call.get("function") or call if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    arguments = function.get("arguments", {}) if isinstance(function, dict) else None
    arguments = _from_json(arguments) if isinstance(arguments, str) else arguments
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise Unusable("bad_tool_call", f"{where}: a call needs a name, and arguments that are an object or its JSON")
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def _from_json(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return None


def first_of(there: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """The value of the first of the keys that has one; null is none."""
    return next((there[key] for key in keys if there.get(key) is not None), None)
