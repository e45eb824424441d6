"""Vocabulary expansion (Kim et al. 2024, EEVE): what byte-pair encoding would learn next, on top of a model's tokens.

A new token begins as the mean of its old pieces, in both embedding matrices. Old merges come first, so text is cut
as before and then joined further: nothing that the model knew is written differently inside a new token.
"""

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.contract import BadData, VocabularyExpansion
from trainers.contract.files import write_atomically
from trainers.contract.memory import Setting
from trainers.contract.model_shape import Shape
from trainers.contract.planner import GPUS, gpu_hours
from trainers.contract.recipe import CptSection
from trainers.contract.shards import read_shards
from trainers.text.fertility import fertility, tokens_by_domain
from trainers.training.data.merges import learn_tokens
from trainers.training.model_folder import ModelFolder, copy_side_files

_SAMPLED = 2000
"""Documents that fertility is measured on."""
_GPU = "h100"
"""Whose hours are reckoned."""


def expand(base: ModelFolder, texts: Iterable[str], count: int, target: Path) -> int:
    """Write the base model with up to `count` more tokens into `target`; returns how many were added.

    The rows behind the last old token are used first (models are often padded); the matrix grows where they end.

    Raises:
        BadData: the tokenizer is no byte-pair encoding, or the texts give no new token.
    """
    content: dict[str, Any] = json.loads((base.path / "tokenizer.json").read_text(encoding="utf-8"))
    if content["model"]["type"] != "BPE":
        raise BadData(f"{base.path}: vocabulary expansion needs a BPE tokenizer, not {content['model']['type']}")
    tokenizer = Tokenizer.from_str(json.dumps(content))
    vocabulary: dict[str, int] = content["model"]["vocab"]
    # One token may be joined in several ways: the most frequent stays. Those that are there may be control tokens.
    ways = {"".join(pieces): pieces for pieces in reversed(learn_tokens(texts, tokenizer, count))}
    learned = {token: pieces for token, pieces in reversed(ways.items()) if token not in vocabulary}
    if not learned:
        raise BadData("vocabulary.tokens: the corpus gives no new token; remove the section")
    first = max([*vocabulary.values(), *(token["id"] for token in content["added_tokens"])]) + 1
    model = AutoModelForCausalLM.from_pretrained(base.path, dtype="auto")
    if first + len(learned) > model.config.vocab_size:
        model.resize_token_embeddings(first + len(learned), mean_resizing=False)
    merges_are_lists = isinstance(next(iter(content["model"]["merges"]), None), list)
    for number, (token, pieces) in enumerate(learned.items(), start=first):
        _begin_as_mean(model, number, [vocabulary[piece.value] for piece in tokenizer.model.tokenize(token)])
        if len(pieces) > 1:  # else a character, which needs no merge
            content["model"]["merges"].append(list(pieces) if merges_are_lists else " ".join(pieces))
    content["model"]["vocab"] |= {token: number for number, token in enumerate(learned, start=first)}
    model.save_pretrained(target, safe_serialization=True)
    copy_side_files(base.path, target)
    (target / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    # The slow tokenizers' files would contradict tokenizer.json.
    for stale in ("vocab.json", "merges.txt", "tokenizer.model"):
        (target / stale).unlink(missing_ok=True)
    return len(learned)


def _begin_as_mean(model: Any, row: int, pieces: list[int]) -> None:
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        with torch.no_grad():
            layer.weight[row] = layer.weight[pieces].mean(0)


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def expanded(
    base: ModelFolder, corpus: Path, target: Path, count: int, section: CptSection
) -> tuple[ModelFolder, VocabularyExpansion]:
    """The base model with new tokens learned on a corpus split, kept in `target`; and what they are worth.

    A domain is a source of the corpus; a larger vocabulary's own cost is counted.
    """
    report = target / "expansion.json"
    if not report.exists():
        added = expand(base, (row["text"] for row in read_shards(corpus)), count, target)
        sampled = [(row["source"] or "corpus", row["text"]) for row in islice(read_shards(corpus), _SAMPLED)]
        before, after = (Tokenizer.from_file(str(path / "tokenizer.json")) for path in (base.path, target))
        # Shards are in the order of their documents' hashes, so the first ones stand for all.
        scale = sum(1 for _ in read_shards(corpus)) / len(sampled) * section.epochs
        counts = [tokens_by_domain(sampled, tokenizer) for tokenizer in (before, after)]
        shapes = [Shape.of_config(folder.config) for folder in (base, ModelFolder(target))]
        hours = [
            {
                name: gpu_hours(shape, Setting.of(section, 1), GPUS[_GPU], token_count * scale)
                for name, token_count in tokens.items()
            }
            for shape, tokens in zip(shapes, counts, strict=True)
        ]
        expansion = VocabularyExpansion(
            new_tokens=added,
            first_new_token=before.get_vocab_size(),
            tokens_per_word_before=fertility(sampled, before),
            tokens_per_word_after=fertility(sampled, after),
            tokens_saved=round(1 - sum(counts[1].values()) / sum(counts[0].values()), 4),
            gpu=_GPU,
            gpu_hours_saved={
                name: _three_digits(before_hours - hours[1][name]) for name, before_hours in hours[0].items()
            },
        )
        write_atomically(report, expansion.model_dump_json(indent=1))
    expansion = VocabularyExpansion.model_validate_json(report.read_text(encoding="utf-8"))
    return ModelFolder(target).check(), expansion


class NewTokensFirst(TrainerCallback):
    """For the first share of the steps only the new tokens' rows learn (EEVE's stages 1 to 3, in one)."""

    def __init__(self, first_new: int, share: float):
        self._first_new = first_new
        self._share = share

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Drop every gradient but the new rows'."""
        if state.global_step >= state.max_steps * self._share:
            return
        model = kwargs["model"]
        layers = (model.get_input_embeddings(), model.get_output_embeddings())
        embeddings = {id(weight) for layer in layers for weight in layer.parameters()}
        for weight in model.parameters():
            if weight.grad is None:
                continue
            if id(weight) in embeddings:
                weight.grad[: self._first_new] = 0
            else:
                weight.grad = None
