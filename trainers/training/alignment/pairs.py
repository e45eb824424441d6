"""Preferences: read, rendered, counted where left out, and brought into the form of each algorithm."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.contract import BadData
from trainers.contract.recipe import RlhfSection
from trainers.conversations.messages import Messages
from trainers.training.data.chat import encode, unplaced
from trainers.training.data.rendering import with_system
from trainers.training.data.rows import IGNORED


@dataclass(frozen=True)
class PreferencePair:
    """A prompt and two answers, as messages and as tokens."""

    prompt: Messages
    chosen: Messages
    rejected: Messages
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


@dataclass(frozen=True)
class Preferences:
    """What a training can use of a file: pairs, and single answers with a label as kto reads them; and the counts."""

    pairs: list[PreferencePair]
    judged: list[dict[str, Any]]
    audit: dict[str, float]


def read_preferences(
    path: Path,
    tokenizer: Any,
    section: RlhfSection,
    system_prompt: str | None = None,
    judges: Sequence[Any] = (),
) -> Preferences:
    """The rows of a file that the template has a place for and that fit into `max_length`; the others are counted.

    Args:
        system_prompt: which SFT trained with; it stands first where a row has no system turn of its own.
        judges: tokenizers of reward models, whose templates need a place for a row, too.

    Raises:
        BadData: there is no row, a row is no pair, none is left, or more are too long than the recipe allows.
    """
    with path.open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    if not rows:
        raise BadData(f"{path} has no usable row")
    pairs: list[PreferencePair] = []
    judged: list[dict[str, Any]] = []
    excluded: Counter[str] = Counter()
    unpaired = sum("completion" in row for row in rows)
    too_long = tokens = 0
    for number, row in enumerate(rows, 1):
        is_judged = "completion" in row
        if is_judged and section.algorithm != "kto":
            continue
        if not is_judged:
            _require_pair(row, f"{path} row {number}")
        unplaced_by_each = (unplaced_answer(row, reader, system_prompt) for reader in (tokenizer, *judges))
        if reason := next(filter(None, unplaced_by_each), None):
            excluded[reason] += 1
            continue
        prompt, tools = with_system(row["prompt"], system_prompt), row.get("tools", ())
        ids = encode(prompt, tokenizer, tools, add_generation_prompt=True).ids
        answers = [encode([*prompt, *answer], tokenizer, tools).ids[len(ids) :] for answer in _answers(row)]
        if len(ids) + max(map(len, answers)) > section.max_length:
            too_long += 1
            continue
        tokens += sum(len(ids) + len(answer) for answer in answers)
        if is_judged:
            judged.append({"prompt_ids": ids, "completion_ids": answers[0], "label": row["label"]})
        else:
            pairs.append(PreferencePair(prompt, row["chosen"], row["rejected"], ids, *answers))
    used = len(pairs) + len(judged)
    if unpaired == len(rows) and section.algorithm != "kto":
        raise BadData(
            f"{path}: {unpaired} rows are single answers with a label and none is a pair; only kto uses those"
        )
    if not used + too_long:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in excluded.items())
        raise BadData(f"{path}: the model's chat template has a place for none of its rows: {reasons}")
    if too_long > section.max_too_long_share * (used + too_long) or not used:
        kind = "rows" if unpaired and section.algorithm == "kto" else "pairs"
        raise BadData(
            f"{path}: {too_long} of {used + too_long} {kind} are longer than max_length {section.max_length} tokens; "
            f"the recipe allows a share of {section.max_too_long_share}. Raise max_length, or the share"
        )
    counts = {"pairs": len(pairs), "too_long": too_long, "tokens": tokens, "unpaired": unpaired}
    return Preferences(pairs, judged, {**counts, **excluded})


def unplaced_answer(row: dict[str, Any], tokenizer: Any, system_prompt: str | None = None) -> str | None:
    """Why the tokenizer's template has no place for an answer of a row (see `chat.unplaced`); None where it has."""
    prompt, tools = with_system(row["prompt"], system_prompt), row.get("tools", ())
    return next(filter(None, (unplaced([*prompt, *answer], tools, tokenizer) for answer in _answers(row))), None)


def _answers(row: dict[str, Any]) -> list[Messages]:
    """The chosen and the rejected one of a pair; a single answer that has a label."""
    return [row[side] for side in ("chosen", "rejected", "completion") if side in row]


def _require_pair(row: dict[str, Any], where: str) -> None:
    for key in ("prompt", "chosen", "rejected"):
        messages = row.get(key)
        if not (isinstance(messages, list) and messages and all({"role", "content"} <= m.keys() for m in messages)):
            raise BadData(f"{where}: {key!r} must be a list of messages with role and content")


def tokenized(pairs: list[PreferencePair]) -> list[dict[str, Any]]:
    """For dpo and orpo."""
    return [
        {"prompt_ids": pair.prompt_ids, "chosen_ids": pair.chosen_ids, "rejected_ids": pair.rejected_ids}
        for pair in pairs
    ]


def whole_conversations(pairs: list[PreferencePair]) -> list[dict[str, Any]]:
    """For reward_model."""
    return [
        {"chosen_ids": pair.prompt_ids + pair.chosen_ids, "rejected_ids": pair.prompt_ids + pair.rejected_ids}
        for pair in pairs
    ]


def labelled(row: dict[str, list[int]]) -> dict[str, list[int]]:
    """A tokenized pair as TRL's ORPO reads it: whole conversations, the labels of the prompt ignored."""
    prompt = row["prompt_ids"]
    columns = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
    for side in ("chosen", "rejected"):
        answer = row[f"{side}_ids"]
        columns[f"{side}_input_ids"] = prompt + answer
        columns[f"{side}_attention_mask"] = [1] * len(prompt + answer)
        columns[f"{side}_labels"] = [IGNORED] * len(prompt) + answer
    return columns


def judged_singly(pairs: list[PreferencePair]) -> list[dict[str, Any]]:
    """For kto: each answer by itself, wanted or not."""
    return [
        {"prompt_ids": pair.prompt_ids, "completion_ids": answer, "label": label}
        for pair in pairs
        for answer, label in ((pair.chosen_ids, True), (pair.rejected_ids, False))
    ]


def prompts(pairs: list[PreferencePair]) -> list[dict[str, Any]]:
    """For grpo and rloo: each prompt once."""
    seen = {json.dumps(pair.prompt, ensure_ascii=False): pair.prompt for pair in pairs}
    return [{"prompt": prompt} for prompt in seen.values()]
