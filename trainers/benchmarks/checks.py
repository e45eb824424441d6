"""Instructions whose fulfilment a program can see: form, length, words, level of speech, language of the answer."""

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

_LEVELS = {
    "합쇼체": re.compile(r"(니다|니까|시오)$"),
    "해요체": re.compile(r"(요|죠)$"),
    "해라체": re.compile(r"(?<!니)(다|라|자|냐)$"),
}
_SENTENCE = re.compile(r"[^.?!…\n]+")
_LIST_LINE = re.compile(r"^\s*([-*•]|\d+[.)])\s+\S")
_LANGUAGE_SHARE = 0.6
"""A Korean answer may name things in Latin letters; one that is mostly Latin is no Korean answer."""
_LOOP_WORDS, _LOOP_SHARE = 3, 0.3
_LOOP_LETTERS = re.compile(r"(.{1,8}?)\1{5,}", re.DOTALL)


class Check(BaseModel):
    """One condition on a reply.

    A number: `min_characters`, `max_characters`, `sentences`, `list_items`. Words: `contains` (all of them),
    `forbidden` (none). A text: `starts_with`, `ends_with`. `json`: true. `level`: 합쇼체, 해요체 or 해라체, in every
    sentence. `language`: ko or en.
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
        allowed = {"level": set(_LEVELS), "language": {"ko", "en"}}.get(self.kind)
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


def sentences(text: str) -> list[str]:
    """Sentences by their end marks and line ends; enough for short replies."""
    return [piece.strip() for piece in _SENTENCE.findall(text) if piece.strip()]


def language_share(text: str, language: str) -> float:
    """Share of the letters that belong to the language's script; 1 where there are no letters (a number is any)."""
    letters = [letter for letter in unicodedata.normalize("NFC", text) if letter.isalpha()]
    wanted = [letter for letter in letters if ("가" <= letter <= "힣" if language == "ko" else letter.isascii())]
    return len(wanted) / len(letters) if letters else 1.0


def drifts(reply: str, language: str = "ko") -> bool:
    """True where a reply leaves the language of its question."""
    return language_share(reply, language) < _LANGUAGE_SHARE


def loops(reply: str) -> bool:
    """True where a reply goes in circles: a piece six times in a row, or word triples of which many are repeats."""
    words = reply.split()
    triples = [tuple(words[at : at + _LOOP_WORDS]) for at in range(len(words) - _LOOP_WORDS + 1)]
    repeated = 1 - len(set(triples)) / len(triples) if triples else 0.0
    return repeated > _LOOP_SHARE or _LOOP_LETTERS.search(reply) is not None


def _is_json(text: str, wanted: Any) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return not wanted
    return bool(wanted)


_TESTS: dict[str, Callable[[str, Any], bool]] = {
    "min_characters": lambda text, least: len(text) >= least,
    "max_characters": lambda text, most: len(text) <= most,
    "sentences": lambda text, count: len(sentences(text)) == count,
    "list_items": lambda text, count: sum(bool(_LIST_LINE.match(line)) for line in text.splitlines()) == count,
    "contains": lambda text, words: all(word in text for word in words),
    "forbidden": lambda text, words: not any(word in text for word in words),
    "starts_with": lambda text, start: text.startswith(start),
    "ends_with": lambda text, end: text.endswith(end),
    "json": _is_json,
    "level": lambda text, level: all(_LEVELS[level].search(sentence) for sentence in sentences(text)),
    "language": lambda text, language: not drifts(text, language),
}
