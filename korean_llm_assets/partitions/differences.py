"""What differs between two things that were asked or counted, key by key."""

from collections.abc import Iterator, Mapping
from typing import Any

from trainers.contract import StageRequest


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> (before, after) of every value that is not the same; None where a side has none."""
    one, other = dict(_flat(before)), dict(_flat(after))
    keys = dict.fromkeys((*one, *other))
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}


def recipe_changes(before: StageRequest, after: StageRequest) -> dict[str, tuple[Any, Any]]:
    """What recipe and code decided otherwise of two requests of a stage."""
    return differences(_recipe(before), _recipe(after))


def _recipe(request: StageRequest) -> dict[str, Any]:
    return {**request.section, "seed": request.seed, "stage version": request.stage_version}


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
