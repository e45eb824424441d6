"""The packaged word lists, facts, templates and hand-written texts, read once."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_HERE = Path(__file__).parent


def listed(text: str) -> list[str]:
    """The items of a comma-separated list."""
    return [item.strip() for item in text.split(",")]


def _packaged(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((_HERE / name).read_text(encoding="utf-8"))
    return content


@cache
def words() -> Mapping[str, list[str]]:
    """Slot name -> its words (words.yaml)."""
    return {slot: listed(text) for slot, text in _packaged("words.yaml").items()}


@cache
def facts() -> Mapping[str, Any]:
    """What items are asked about (facts.yaml): lists instead of comma-separated text, also one level down."""

    def opened(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: listed(text) for key, text in value.items()}
        return [line.strip() for line in value.splitlines()] if "\n" in value else listed(value)

    return {name: opened(value) for name, value in _packaged("facts.yaml").items()}


@cache
def domains() -> Mapping[str, Any]:
    """Domain -> its language, suite, bound slots, titles, sentences and held-out sentences (domains.yaml)."""
    return _packaged("domains.yaml") | _packaged("domains_en.yaml")


@cache
def written(kind: str) -> list[str]:
    """The hand-written documents of one kind, in order; `=== title` opens a document in texts/<kind>.txt."""
    text = (_HERE / "texts" / f"{kind}.txt").read_text(encoding="utf-8")
    return [document.strip() for document in text.split("=== ")[1:]]
