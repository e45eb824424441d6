"""What each filter rule does to a corpus: how much it excludes, how much of that alone, and examples from both sides.

Examples are chosen by a key of their text, so that they do not depend on how the input was cut into blocks, and
personal data in them is masked.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.contract import RuleEffect, RuleExample
from trainers.text.characters import Texts
from trainers.text.filters import Judgement
from trainers.text.personal_data import mask

_EXAMPLES = 3
_SHOWN = 160
Effects = dict[str, dict[str, Any]]
"""By rule, as plain JSON: what a block's summary holds."""
_Example = Sequence[Any]
"""(the figure that the rule compares, the beginning of the text, the text's key), as JSON has it."""


def effects(judgements: Sequence[Judgement], texts: Texts, others: Sequence[bool], unshown: Sequence[bool]) -> Effects:
    """The effects of the rules on one block.

    Args:
        texts: what the rules judged.
        others: documents that something else excludes; they count for no rule.
        unshown: documents of which nothing may be shown.
    """
    broken = np.array([judgement.broken for judgement in judgements]).reshape(len(judgements), len(texts))
    broken[:, np.asarray(others, bool)] = False
    number, first = broken.sum(axis=0), broken.argmax(axis=0)
    stays = ~np.asarray(others, bool) & (number == 0)
    sizes = {index: len(texts.piece(*_ends(texts, index)).encode()) for index in np.flatnonzero(number).tolist()}
    keys, may_be_shown = keys_of(texts), ~np.asarray(unshown, bool)
    rows: Effects = {}
    shown: list[tuple[list[_Example], Judgement, int]] = []
    for place, judgement in enumerate(judgements):
        excluded = np.flatnonzero((number > 0) & (first == place))
        alone = excluded[number[excluded] == 1]
        near = np.flatnonzero(stays & judgement.applies & may_be_shown)
        nearest = np.lexsort((keys[near], np.abs(judgement.values[near] - judgement.limit)))[:_EXAMPLES]
        rows[judgement.name] = {
            "documents": len(excluded),
            "bytes": sum(sizes[index] for index in excluded.tolist()),
            "alone": len(alone),
            "alone_bytes": sum(sizes[index] for index in alone.tolist()),
            "limit": judgement.limit,
            "excluded": [],
            "kept": [],
        }
        shown_ = excluded[may_be_shown[excluded]]
        some = shown_[np.argsort(keys[shown_], kind="stable")[:_EXAMPLES]]
        for side, indices in (("excluded", some), ("kept", near[nearest])):
            shown += [(rows[judgement.name][side], judgement, index) for index in indices.tolist()]
    beginnings = [" ".join(texts.piece(*_ends(texts, index, _SHOWN)).split()) for _, _, index in shown]
    masked, _ = mask(Texts.of(beginnings), addresses=True)
    for (examples, judgement, index), text in zip(shown, masked, strict=True):
        examples.append((float(judgement.values[index]), text, int(keys[index])))
    return rows


def merged(blocks: Iterable[Effects]) -> list[RuleEffect]:
    """The effects on all blocks, of the rules that exclude something, in the order in which they are tried."""
    whole: Effects = {}
    for block in blocks:
        for name, row in block.items():
            if name not in whole:
                whole[name] = row
                continue
            sums = {key: whole[name][key] + row[key] for key in ("documents", "bytes", "alone", "alone_bytes")}
            excluded = _first([*whole[name]["excluded"], *row["excluded"]])
            kept = _nearest([*whole[name]["kept"], *row["kept"]], row["limit"])
            whole[name] = {**sums, "limit": row["limit"], "excluded": excluded, "kept": kept}
    return [
        RuleEffect(
            rule=name,
            limit=row["limit"],
            documents=row["documents"],
            bytes=row["bytes"],
            alone=row["alone"],
            alone_bytes=row["alone_bytes"],
            excluded=[RuleExample(value=float(f"{value:.4g}"), text=text) for value, text, _ in row["excluded"]],
            kept=[RuleExample(value=float(f"{value:.4g}"), text=text) for value, text, _ in row["kept"]],
        )
        for name, row in whole.items()
        if row["documents"]
    ]


def _ends(texts: Texts, index: int, most: int | None = None) -> tuple[int, int]:
    begin, end = int(texts.starts[index]), int(texts.starts[index + 1])
    return begin, end if most is None else min(end, begin + most)


def keys_of(texts: Texts) -> NDArray[np.int64]:
    """A number of each text, made of its length and three of its characters: quick, and the same in every block."""
    begins, lengths = texts.starts[:-1], np.diff(texts.starts)
    keys = np.asarray(lengths, np.int64)
    for place in (begins, begins + lengths // 2, begins + lengths - 1):
        codes = texts.codes[np.clip(place, 0, len(texts.codes) - 1)] if len(texts.codes) else keys
        keys = (keys * np.int64(0x9E3779B1) + codes.astype(np.int64)) & np.int64(0x7FFFFFFF)
    return keys


def _first(examples: Iterable[_Example]) -> list[_Example]:
    return heapq.nsmallest(_EXAMPLES, examples, key=lambda example: (example[2], example[1]))


def _nearest(examples: Iterable[_Example], limit: float) -> list[_Example]:
    return heapq.nsmallest(_EXAMPLES, examples, key=lambda example: (abs(example[0] - limit), example[2], example[1]))
