"""Preference pairs: read, rendered, too long ones counted, and brought into the form of each algorithm."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.contract import BadData
from trainers.contract.recipe import RlhfSection
from trainers.conversations.rows import Messages


@dataclass(frozen=True)
class PreferencePair:
    """A prompt and two answers, as messages and as tokens."""

    prompt: Messages
    chosen: Messages
    rejected: Messages
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]

    @property
    def tokens(self) -> int:
        """Tokens of both conversations."""
        return 2 * len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)


def read_pairs(path: Path, tokenizer: Any, section: RlhfSection) -> tuple[list[PreferencePair], dict[str, float]]:
    """The pairs of a file that fit into `max_length`, and their counts.

    Raises:
        BadData: there is no row, a row is no pair, no pair is left, or more are too long than the recipe allows.
    """
    with path.open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    if not rows:
        raise BadData(f"{path} has no usable row")
    pairs = [_pair(row, f"{path} row {number}", tokenizer) for number, row in enumerate(rows, 1)]
    limit = section.max_length
    fitting = [
        pair for pair in pairs if len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids)) <= limit
    ]
    too_long = len(pairs) - len(fitting)
    if too_long > section.max_too_long_share * len(pairs) or not fitting:
        raise BadData(
            f"{path}: {too_long} of {len(pairs)} pairs are longer than max_length {limit} tokens; the recipe allows a "
            f"share of {section.max_too_long_share}. Raise max_length, or the share"
        )
    tokens = sum(pair.tokens for pair in fitting)
    return fitting, {"pairs": len(fitting), "too_long": too_long, "tokens": tokens}


def _pair(row: dict[str, Any], where: str, tokenizer: Any) -> PreferencePair:
    for key in ("prompt", "chosen", "rejected"):
        messages = row.get(key)
        if not (isinstance(messages, list) and messages and all({"role", "content"} <= m.keys() for m in messages)):
            raise BadData(f"{where}: {key!r} must be a list of messages with role and content")
    prompt = _ids(tokenizer, row["prompt"], add_generation_prompt=True)
    return PreferencePair(
        row["prompt"],
        row["chosen"],
        row["rejected"],
        prompt,
        *(_ids(tokenizer, row["prompt"] + row[side])[len(prompt) :] for side in ("chosen", "rejected")),
    )


def _ids(tokenizer: Any, messages: Messages, **how: Any) -> list[int]:
    ids: list[int] = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **how)["input_ids"]
    return ids


def tokenized(pairs: list[PreferencePair]) -> list[dict[str, Any]]:
    """For dpo."""
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


def in_messages(pairs: list[PreferencePair]) -> list[dict[str, Any]]:
    """For orpo."""
    return [{"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected} for pair in pairs]


def judged_singly(pairs: list[PreferencePair]) -> list[dict[str, Any]]:
    """For kto: each answer by itself, wanted or not."""
    return [
        {"prompt": pair.prompt, "completion": answer, "label": label}
        for pair in pairs
        for answer, label in ((pair.chosen, True), (pair.rejected, False))
    ]


def prompts(pairs: list[PreferencePair]) -> list[dict[str, Any]]:
    """For grpo and rloo: each prompt once."""
    seen = {json.dumps(pair.prompt, ensure_ascii=False): pair.prompt for pair in pairs}
    return [{"prompt": prompt} for prompt in seen.values()]
