"""The corpus as training rows: read, tokenized, English mixed in by share, cut at sentences, laid, kept on disk."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from trainers.contract import BadData, ModelFacts
from trainers.contract.digests import file_sha256
from trainers.contract.shards import read_shards
from trainers.training.data.packing import Audit, Tokens, cut, lay_singly, pack, sentence_ends
from trainers.training.data.rows import batched, is_kept, read_rows, write_rows

_TOKENIZE_AT_ONCE = 256


@dataclass
class CorpusRows:
    """One split of the corpus, laid into rows."""

    rows: Dataset
    audit: dict[str, float]
    english_share: float
    digest: str
    replay_share: float = 0.0


@dataclass(frozen=True)
class Replay:
    """Documents of an earlier corpus split, mixed in until they are `share` of all tokens."""

    folder: Path
    share: float


@dataclass
class _Reading:
    """What passed by while a split was read."""

    audit: Audit = field(default_factory=Audit)
    english: int = 0  # tokens
    replayed: int = 0  # tokens


def corpus_rows(
    folder: Path,
    kept: Path,
    tokenizer: Any,
    facts: ModelFacts,
    row_length: int,
    english_share: float | None = None,
    replay: Replay | None = None,
    most_tokens: float = math.inf,
    packed: bool = True,
) -> CorpusRows:
    """Lay the documents in `folder` (shards of JSON lines) into rows kept as `kept`, or read what is kept there.

    Every document is between the model's tokens for a text's begin and end. With `english_share`, English
    documents are taken until they are that share of all tokens, after the others (training shuffles the rows);
    `replay` comes last. No document is begun after `most_tokens`. Shards are in the order of their documents' hashes,
    so the first ones are a fair sample. Rows are full ones, or with `packed` False a piece of one document each.

    Raises:
        BadData: there is no document in the folder.
    """
    notes_path = kept.with_suffix(".json")
    if not is_kept(kept, notes_path):
        reading = _Reading()
        pieces = _pieces(folder, tokenizer, facts, row_length, english_share, replay, most_tokens, reading)
        laid = pack(pieces, row_length, reading.audit) if packed else lay_singly(pieces, reading.audit)
        write_rows(kept, ({"input_ids": row.tokens, "lengths": row.lengths} for row in laid))
        if not reading.audit.rows:
            raise BadData(f"{folder} holds no document to train on")
        notes = {
            "audit": reading.audit.figures(row_length),
            "english_share": reading.english / reading.audit.tokens_in,
            "replay_share": reading.replayed / reading.audit.tokens_in,
            "digest": file_sha256(kept),
        }
        notes_path.write_text(json.dumps(notes), encoding="utf-8")
    return CorpusRows(rows=read_rows(kept), **json.loads(notes_path.read_text(encoding="utf-8")))


def _pieces(
    folder: Path,
    tokenizer: Any,
    facts: ModelFacts,
    row_length: int,
    english_share: float | None,
    replay: Replay | None,
    most_tokens: float,
    reading: _Reading,
) -> Iterator[Tokens]:
    parts: list[tuple[Path, bool | None, float | None]]  # folder, English or not, share of all tokens
    parts = [(folder, None, None)] if english_share is None else [(folder, False, None), (folder, True, english_share)]
    if replay is not None:
        parts.append((replay.folder, None, replay.share))
    for source, english, share in parts:
        budget = most_tokens if share is None else reading.audit.tokens_in * share / (1 - share)
        if not budget:
            continue
        is_replay = replay is not None and source is replay.folder  # a release may have landed an earlier one's text
        taken = 0
        for is_english, tokens, ends in _tokenized(source, tokenizer, facts, english):
            if taken >= budget:
                break
            taken += len(tokens)
            reading.english += is_english * len(tokens)
            reading.replayed += is_replay * len(tokens)
            reading.audit.documents += 1
            reading.audit.tokens_in += len(tokens)
            yield from cut(tokens, ends, row_length, reading.audit)


def _tokenized(
    folder: Path, tokenizer: Any, facts: ModelFacts, english: bool | None
) -> Iterator[tuple[bool, Tokens, list[int]]]:
    """(is it English, its tokens, where its sentences begin) of each document."""
    chosen = (row for row in read_shards(folder) if english is None or (row["language"] == "en") == english)
    for batch in batched(chosen, _TOKENIZE_AT_ONCE):
        encoded = tokenizer(
            [row["text"] for row in batch],
            add_special_tokens=False,
            split_special_tokens=True,  # a page that spells `<|endoftext|>` ends no document
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        for row, ids, offsets in zip(batch, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            tokens = np.array([facts.begin, *ids, facts.eos], dtype=np.int32)
            starts = np.array([start for start, _ in offsets], dtype=np.int64)
            ends = [at + 1 for at in sentence_ends(row["text"], starts)]  # after the mark of the begin
            yield row["language"] == "en", tokens, ends
