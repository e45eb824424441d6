"""Conversations as training rows: rendered, counted where too long, laid whole into rows of one length."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from trainers.contract import BadData, ModelFacts
from trainers.contract.digests import file_sha256
from trainers.contract.recipe import SftSection
from trainers.training.data.chat import unplaced
from trainers.training.data.rendering import Rendered, marked, render, require_stop_is_trained, with_level, with_system
from trainers.training.data.rows import IGNORED, is_kept, read_rows, write_rows

_RENDER_AT_ONCE = 256
_SAMPLE_CHARACTERS = 2000


@dataclass
class ConversationRows:
    """One split of an instruction set."""

    rows: Dataset
    audit: dict[str, float]
    mask_sample: str
    digest: str


def conversation_rows(
    rows: list[dict[str, Any]], kept: Path, tokenizer: Any, facts: ModelFacts, section: SftSection
) -> ConversationRows:
    """Render and pack conversations into rows kept as `kept`, or read what is kept there.

    Conversations are never cut: one that is longer than a row is left out and counted.

    Raises:
        BadData: nobody answers in any, more of them are too long than the recipe allows, or none is left.
    """
    notes_path = kept.with_suffix(".json")
    if not is_kept(kept, notes_path):
        conversations = [with_system(row["messages"], section.system_prompt) for row in rows]
        levels = section.honorific_prompts or {}
        prompted = [
            with_level(messages, row.get("honorific"), levels)
            for row, messages in zip(rows, conversations, strict=True)
        ]
        unplaced_ = [
            unplaced(messages, row.get("tools", ()), tokenizer) for row, messages in zip(rows, prompted, strict=True)
        ]
        excluded = Counter(reason for reason in unplaced_ if reason is not None)
        rendered = [
            replace(conversation, weight=row.get("weight", 1))
            for row, messages, reason in zip(rows, prompted, unplaced_, strict=True)
            if reason is None
            for conversation in render([messages], tokenizer, [row.get("tools", ())])
        ]
        if not any(label != IGNORED for conversation in rendered for label in conversation.labels):
            reasons = "".join(f"; {reason} ({n})" for reason, n in excluded.items())
            raise BadData(f"the instruction set holds no conversation in which the assistant speaks{reasons}")
        fitting = [conversation for conversation in rendered if len(conversation.ids) <= section.max_length]
        too_long = len(rendered) - len(fitting)
        if too_long > section.max_too_long_share * len(rendered) or not fitting:
            raise BadData(
                f"{too_long} of {len(rendered)} conversations are longer than max_length {section.max_length} tokens; "
                f"the recipe allows a share of {section.max_too_long_share}. Raise max_length, or the share"
            )
        require_stop_is_trained(fitting[0], tokenizer, facts.end_of_turn)
        lay = _laid_whole if section.layout == "packed" else _laid_singly
        weighted = any(conversation.weight != 1 for conversation in fitting)
        laid = lay(_evened(fitting) if weighted else fitting, section.max_length)
        packed = [_row(chosen, weighted) for chosen in laid]
        write_rows(kept, packed)
        tokens = sum(len(row["input_ids"]) for row in packed)
        trained = sum(label != IGNORED for row in packed for label in row["labels"])
        notes = {
            "audit": {
                "conversations": len(fitting),
                "too_long": too_long,
                **excluded,
                "rows": len(packed),
                "tokens": tokens,
                "lost_tokens": sum(len(conversation.ids) for conversation in fitting) - tokens,
                "trained_share": round(trained / tokens, 6),
                "with_level": sum(before is not after for before, after in zip(conversations, prompted, strict=True)),
                "weighted": sum(conversation.weight != 1 for conversation in fitting),
            },
            "mask_sample": marked(fitting[0], tokenizer)[:_SAMPLE_CHARACTERS],
            "digest": file_sha256(kept),
        }
        notes_path.write_text(json.dumps(notes, ensure_ascii=False), encoding="utf-8")
    return ConversationRows(rows=read_rows(kept), **json.loads(notes_path.read_text(encoding="utf-8")))


def _evened(conversations: list[Rendered]) -> list[Rendered]:
    """Weights brought to the mean 1 over all trained tokens, so that the learning rate keeps its meaning."""
    tokens = sum(conversation.trained for conversation in conversations)
    heavy = sum(conversation.trained * conversation.weight for conversation in conversations)
    return [replace(conversation, weight=conversation.weight * tokens / heavy) for conversation in conversations]


def _row(conversations: list[Rendered], weighted: bool) -> dict[str, list[Any]]:
    row: dict[str, list[Any]] = {
        "input_ids": [token for conversation in conversations for token in conversation.ids],
        "labels": [label for conversation in conversations for label in conversation.labels],
        "lengths": [len(conversation.ids) for conversation in conversations],
    }
    if weighted:
        row["weights"] = [conversation.weight for conversation in conversations]
    return row


def _laid_singly(conversations: list[Rendered], row_length: int) -> Iterator[list[Rendered]]:
    for conversation in conversations:
        yield [conversation]


def _laid_whole(conversations: list[Rendered], row_length: int) -> Iterator[list[Rendered]]:
    """Best-fit decreasing: whole conversations only, so rows end where nothing fits any more."""
    by_length: dict[int, list[Rendered]] = {}
    for conversation in conversations:
        by_length.setdefault(len(conversation.ids), []).append(conversation)
    while by_length:
        row: list[Rendered] = []
        room = row_length
        while fitting := [length for length in by_length if length <= room]:
            length = max(fitting)
            chosen = by_length[length].pop()
            if not by_length[length]:
                del by_length[length]
            row.append(chosen)
            room -= length
        yield row
