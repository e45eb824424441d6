"""Instructions whose fulfilment a program can see: form, length, words, level of speech, language of the answer."""

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from trainers.text.languages import drifts
from trainers.text.sentence_rules import split_by_rules
from trainers.text.speech_levels import CHECKED_LEVELS, keeps

_LIST_LINE = re.compile(r"^\s*([-*•]|\d+[.)])\s+\S")


class Check(BaseModel):
    """One condition on a reply.

    A number: `min_characters`, `max_characters`, `sentences`, `list_items`. Words: `contains` (all of them),
    `forbidden` (none). A text: `starts_with`, `ends_with`. `json`: true. `level`: 합쇼체, 해요체 or 해라체, in every
    sentence that shows a level, and one must. `language`: ko or en.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal[
        "min_characters",
        "max_characters",
        "sentences",
        "list_items",
        "contains",
        "forbidden",
        "starts_with",
        "ends_with",
        "json",
        "level",
        "language",
    ]
    value: int | str | list[str] | bool

    @model_validator(mode="after")
    def _value_fits(self) -> "Check":
        wanted = _VALUES[self.kind]
        if not isinstance(self.value, wanted) or (wanted is int and isinstance(self.value, bool)):
            raise ValueError(f"check {self.kind!r} takes a {wanted.__name__}, not {self.value!r}")
        allowed = {"level": set(CHECKED_LEVELS), "language": {"ko", "en"}}.get(self.kind)
        if allowed and self.value not in allowed:
            raise ValueError(f"check {self.kind!r} takes one of {sorted(allowed)}, not {self.value!r}")
        return self

    def holds(self, reply: str) -> bool:
        """True where the reply meets the condition; an empty reply meets none."""
        text = unicodedata.normalize("NFC", reply).strip()
        return bool(text) and _TESTS[self.kind](text, self.value)


_VALUES: dict[str, type] = {
    "min_characters": int,
    "max_characters": int,
    "sentences": int,
    "list_items": int,
    "contains": list,
    "forbidden": list,
    "starts_with": str,
    "ends_with": str,
    "json": bool,
    "level": str,
    "language": str,
}


def _is_json(text: str, wanted: Any) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return not wanted
    return bool(wanted)


_TESTS: dict[str, Callable[[str, Any], bool]] = {
    "min_characters": lambda text, least: len(text) >= least,
    "max_characters": lambda text, most: len(text) <= most,
    "sentences": lambda text, count: len(split_by_rules(text)) == count,
    "list_items": lambda text, count: sum(bool(_LIST_LINE.match(line)) for line in text.splitlines()) == count,
    "contains": lambda text, words: all(word in text for word in words),
    "forbidden": lambda text, words: not any(word in text for word in words),
    "starts_with": lambda text, start: text.startswith(start),
    "ends_with": lambda text, end: text.endswith(end),
    "json": _is_json,
    "level": lambda text, level: keeps(text, CHECKED_LEVELS[level]),
    "language": lambda text, language: not drifts(text, language),
}
