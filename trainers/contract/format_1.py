"""Manifests of format 1 (version 0.1), whose details had an open `extra` table: read as what they are called now."""

from typing import Any

from pydantic import BaseModel

from trainers.contract.details import Alignment, NounStatistics, Pretraining, VocabularyExpansion

_PARTS: dict[str, type[BaseModel]] = {
    "nouns": NounStatistics,
    "pretraining": Pretraining,
    "alignment": Alignment,
    "expansion": VocabularyExpansion,
}
"""Fields of today that are made of several entries of `extra`; each has the names of its model's fields."""


def details_of_format_1(details: dict[str, Any]) -> dict[str, Any]:
    """Details as they are named today. What has no place stays, and is refused with its name."""
    named = {name: value for name, value in details.items() if name != "extra"}
    rest: dict[str, Any] = dict(details.get("extra", {}))
    for part, model in _PARTS.items():
        if values := {name: rest.pop(name) for name in model.model_fields if name in rest}:
            rest[part] = values
    named |= rest
    if "contaminated" in named:
        named["contaminated"] = [{"document": row["id"], **_without(row, "id")} for row in named["contaminated"]]
    return named


def _without(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}
