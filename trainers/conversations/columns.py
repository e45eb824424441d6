"""The one description of the forms of rows: which columns people call what, for instructions, preferences and suites.

A row is read by what its columns mean, not by the name of a format: Alpaca, Dolly, ShareGPT, OpenAI's messages, TRL's
own, Orca's, LLaMA-Factory's and most others differ in names only. `fields` of the recipe names what this table lacks.
Null counts as absent.
"""

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainers.text.columns import column_names, dig
from trainers.text.records import Unusable, repair_surrogates

_LEDGER = {
    "id": ("id",),
    "source": ("source",),
    "licence": ("licence", "license"),
    "task": ("task",),
}
_CONVERSATION = {
    "messages": ("messages", "conversations", "conversation", "dialogue", "dialog", "turns", "contents"),
    "system": ("system", "system_prompt", "system_message"),
    "tools": ("tools", "functions"),
    "history": ("history",),
    "prompt": (
        *("instruction", "prompt", "question", "query", "inputs", "q", "질문", "지시문", "input"),
        *("user", "human", "problem", "문제"),
    ),
    "context": ("input", "context"),
}
_ANSWER = (
    *("output", "response", "completion", "answer", "target", "targets", "a", "답변", "응답"),
    *("assistant", "gpt", "bot", "solution", "답", "대답"),
)
REASONING = ("reasoning_content", "reasoning", "thinking")
"""What the thought before an answer is called, in rows and in messages."""
INSTRUCTION = {
    **_LEDGER,
    **_CONVERSATION,
    "response": _ANSWER,
    "reasoning_content": REASONING,
    "weight": ("weight",),
    "honorific": ("honorific",),
}
PREFERENCE = {
    **_LEDGER,
    **_CONVERSATION,
    "chosen": ("chosen", "chosen_response", "response_chosen", "preferred", "preferred_output"),
    "rejected": (
        *("rejected", "rejected_response", "response_rejected", "reject"),
        *("dispreferred", "non_preferred", "non_preferred_output"),
    ),
    "chosen_score": ("score_chosen", "chosen_score", "chosen_rating", "chosen-rating", "rating_chosen"),
    "rejected_score": ("score_rejected", "rejected_score", "rejected_rating", "rejected-rating", "rating_rejected"),
    "answers": ("answers", "completions", "responses", "generations", "candidates"),
    "scores": ("scores", "ratings"),
    "winner": ("winner", "preference", "preferred_response", "better_response_id", "better"),
    "label": ("label", "kto_tag", "feedback", "thumbs", "thumbs_up", "desirable", "is_good", "평가"),
    "response": _ANSWER,
}
SUITE = {
    **_LEDGER,
    "messages": ("messages", "conversations"),
    "checks": ("checks",),
    "question": ("question", "query", "질문", "문제"),
    "choices": ("choices", "options", "mc1_targets", "보기", "선택지"),
    "answer": ("answer", "answerkey", "answer_key", "answer_idx", "gold", "정답", "label"),
    "prompt": ("prompt",),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "text": ("text",),
    "domain": ("domain", "category"),
    "score": ("score",),
    "subject": ("subject",),
}
_LISTS = frozenset({"messages", "history", "choices", "answers", "scores"})
"""What is a list by its meaning; in a table's cell it is one in writing."""
_SIDES = frozenset({"prompt", "chosen", "rejected", "response"})
"""What may be a list; its text may well be JSON that stays text, unless it is that of messages."""
BESIDE = re.compile(
    r"(?:response|answer|completion|output|conversation|reply|답변|응답)[_ -]?([0-9]|[a-d])", re.IGNORECASE
)
"""Two answers beside each other, of which `winner` names one."""
_CELL = re.compile(r"\s*[\[{]")
_MESSAGES_CELL = re.compile(r"""\s*(?:\[\s*)?\{\s*["'](?:role|from|content|value)["']\s*:""")
Columns = Mapping[str, tuple[str, ...]]
ROW_COLUMNS = frozenset(
    name
    for table in (INSTRUCTION, PREFERENCE, SUITE)
    for meaning, names in table.items()
    if meaning not in _LEDGER
    for name in names
)
"""Names that make an object a row by itself, whatever else it holds."""


@dataclass(frozen=True)
class Values:
    """A row's values by what they mean, and the columns with a value that nothing reads."""

    of: dict[str, Any]
    ignored: frozenset[str]
    row: dict[str, Any]

    def unknown(self, section: str, wanted: tuple[str, str]) -> Unusable:
        """That the row has no form that is known: the columns that there are, and the mapping that would read it."""
        texts = [name for name in self.row if str(name) in self.ignored and _is_text(self.row[name])]
        missing = [meaning for meaning in wanted if meaning not in self.of]
        advice = f"; {' and '.join(missing)} wanted"
        if missing and len(texts) >= len(missing):
            mapping = ", ".join(f"{meaning}: {name}" for meaning, name in zip(missing, texts, strict=False))
            advice = f"; `{section}.fields: {{{mapping}}}` would read it"
        return Unusable("unknown_schema", f"there are the columns {column_names(self.row)[:200]}{advice}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def values_of(row: Any, columns: Columns, fields: Mapping[str, str | None]) -> Values:
    """What a row's columns mean: by the recipe's mapping, then by their usual names in any case.

    Raises:
        Unusable: it is no object.
    """
    if not isinstance(row, dict):
        raise Unusable("not_an_object", f"a JSON {type(row).__name__}")
    there = {str(name).strip().casefold(): name for name, value in reversed(row.items()) if value is not None}
    values: dict[str, Any] = {}
    read: set[Any] = set()
    for meaning, path in fields.items():
        if path is not None and (inner := dig(row, path)):
            values[meaning] = inner[0] if len(inner) == 1 else inner
            read.add(path if path in row else path.partition(".")[0])
    for meaning, names in columns.items():
        name = next((there[name] for name in names if name in there and there[name] not in read), None)
        if meaning not in values and name is not None:
            values[meaning] = row[name]
            read.add(name)
    for meaning, value in values.items():
        if isinstance(value, str) and (meaning in _LISTS or (meaning in _SIDES and _MESSAGES_CELL.match(value))):
            values[meaning] = listed(value)
    if isinstance(request := values.get("prompt"), dict) and "messages" in request:  # OpenAI's pairs
        del values["prompt"]
        values |= {name: request[name] for name in ("messages", "tools") if request.get(name)}
    unread = {str(name) for name in there.values() if name not in read}
    if "winner" in values:
        unread = {name for name in unread if not BESIDE.fullmatch(name)}
    return Values(values, frozenset(unread), row)


def listed(value: Any) -> Any:
    """A list or an object that stands in a table's cell as JSON, or as Python writes it; anything else as it is."""
    if not isinstance(value, str) or not _CELL.match(value):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            inner = read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(inner, list | dict):
            return inner
    return value


def text_of(value: Any) -> str:
    """A value of the ledger as text, empty where there is none."""
    return "" if value is None else repair_surrogates(str(value))[0]
