"""Conversations as training rows: rendered, counted where too long, laid whole into rows of one length."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from trainers.artifacts import file_sha256
from trainers.contract import BadData
from trainers.recipe import SftSection
from trainers.rendering import Rendered, marked, render, require_stop_is_trained
from trainers.rows import IGNORED, batched, is_kept, read_rows, write_rows

_RENDER_AT_ONCE = 256
_SAMPLE_CHARACTERS = 2000


@dataclass
class ConversationRows:
    """One split of an instruction set."""

    rows: Dataset
    audit: dict[str, float]
    mask_sample: str
    digest: str


def conversation_rows(rows: list[dict[str, Any]], kept: Path, tokenizer: Any, section: SftSection) -> ConversationRows:
    """Render and pack conversations into rows kept as `kept`, or read what is kept there.

    Conversations are never cut: one that is longer than a row is left out and counted.

    Raises:
        BadData: nobody answers in any, more of them are too long than the recipe allows, or none is left.
    """
    notes_path = kept.with_suffix(".json")
    if not is_kept(kept, notes_path):
        rendered = [
            conversation
            for batch in batched(rows, _RENDER_AT_ONCE)
            for conversation in render([row["messages"] for row in batch], tokenizer, section.system_prompt)
        ]
        if not any(label != IGNORED for conversation in rendered for label in conversation.labels):
            raise BadData("the instruction set holds no conversation in which the assistant speaks")
        fitting = [conversation for conversation in rendered if len(conversation.ids) <= section.max_length]
        too_long = len(rendered) - len(fitting)
        if too_long > section.max_too_long_share * len(rendered) or not fitting:
            raise BadData(
                f"{too_long} of {len(rendered)} conversations are longer than max_length {section.max_length} tokens; "
                f"the recipe allows a share of {section.max_too_long_share}. Raise max_length, or the share"
            )
        require_stop_is_trained(fitting[0], tokenizer)
        packed = list(_laid_whole(fitting, section.max_length))
        write_rows(kept, packed)
        tokens = sum(len(row["input_ids"]) for row in packed)
        trained = sum(label != IGNORED for row in packed for label in row["labels"])
        notes = {
            "audit": {
                "conversations": len(fitting),
                "too_long": too_long,
                "rows": len(packed),
                "tokens": tokens,
                "lost_tokens": sum(len(conversation.ids) for conversation in fitting) - tokens,
                "fill": round(tokens / (len(packed) * section.max_length), 6),
                "trained_share": round(trained / tokens, 6),
            },
            "mask_sample": marked(fitting[0], tokenizer)[:_SAMPLE_CHARACTERS],
            "digest": file_sha256(kept),
        }
        notes_path.write_text(json.dumps(notes, ensure_ascii=False), encoding="utf-8")
    return ConversationRows(rows=read_rows(kept), **json.loads(notes_path.read_text(encoding="utf-8")))


def _laid_whole(conversations: list[Rendered], row_length: int) -> Iterator[dict[str, list[int]]]:
    """Best-fit decreasing: whole conversations only, so rows end where nothing fits any more."""
    by_length: dict[int, list[Rendered]] = {}
    for conversation in conversations:
        by_length.setdefault(len(conversation.ids), []).append(conversation)
    while by_length:
        row: dict[str, list[int]] = {"input_ids": [], "labels": [], "lengths": []}
        room = row_length
        while fitting := [length for length in by_length if length <= room]:
            length = max(fitting)
            chosen = by_length[length].pop()
            if not by_length[length]:
                del by_length[length]
            row["input_ids"] += chosen.ids
            row["labels"] += chosen.labels
            row["lengths"].append(length)
            room -= length
        yield row
