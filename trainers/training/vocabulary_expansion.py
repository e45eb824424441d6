"""Vocabulary expansion (Kim et al. 2024, EEVE): byte-pair merges learned on the corpus, on top of the tokenizer's own.

A new token begins as the mean of its old pieces, in both embedding matrices. Old merges come first, so text is cut
as before and then joined further: nothing that the model knew is written differently inside a new token.
"""

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.contract import BadData, VocabularyExpansion
from trainers.contract.files import write_atomically
from trainers.contract.model_shape import Shape
from trainers.contract.planner import GPUS, Setting, gpu_hours
from trainers.contract.recipe import CptSection
from trainers.contract.shards import read_shards
from trainers.text.fertility import fertility, tokens_by_domain
from trainers.training.model_folder import ModelFolder, copy_side_files

Merge = tuple[str, str]
_LEAST_COUNT = 2
_SAMPLED = 2000
"""Documents that fertility is measured on."""
_GPU = "h100"
"""Whose hours are reckoned."""


def learn_merges(texts: Iterable[str], tokenizer: Tokenizer, count: int) -> list[Merge]:
    """At most `count` merges that byte-pair encoding would learn next on these texts, the most frequent pair first.

    Words are those of the tokenizer itself, so no token crosses a boundary that the tokenizer keeps.
    """
    words = _words(texts, tokenizer)
    pieces = [list(word) for word in words]
    counts = list(words.values())
    places: defaultdict[Merge, set[int]] = defaultdict(set)
    pairs: Counter[Merge] = Counter()
    for number, word in enumerate(pieces):
        for pair in pairwise(word):
            pairs[pair] += counts[number]
            places[pair].add(number)
    queue = [(-amount, pair) for pair, amount in pairs.items()]
    heapq.heapify(queue)
    merges: list[Merge] = []
    while queue and len(merges) < count:
        amount, best = heapq.heappop(queue)
        if -amount != pairs[best]:  # an old entry of a pair whose count has changed
            continue
        if -amount < _LEAST_COUNT:
            break
        merges.append(best)
        changed = set()
        for number in places.pop(best):
            for pair in zip(pieces[number], pieces[number][1:], strict=False):
                pairs[pair] -= counts[number]
                changed.add(pair)
            pieces[number] = list(_joined(pieces[number], best))
            for pair in zip(pieces[number], pieces[number][1:], strict=False):
                pairs[pair] += counts[number]
                places[pair].add(number)
                changed.add(pair)
        for pair in sorted(changed):
            if pairs[pair] > 0:
                heapq.heappush(queue, (-pairs[pair], pair))
    return merges


def _words(texts: Iterable[str], tokenizer: Tokenizer) -> Counter[tuple[str, ...]]:
    """Words as the pieces that the tokenizer cuts them into, counted, in order of appearance."""
    words: Counter[str] = Counter()
    for text in texts:
        if tokenizer.normalizer is not None:
            text = tokenizer.normalizer.normalize_str(text)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text))
    cut: Counter[tuple[str, ...]] = Counter()
    for word, amount in words.items():
        cut[tuple(token.value for token in tokenizer.model.tokenize(word))] += amount
    return cut


def _joined(pieces: list[str], pair: Merge) -> Iterator[str]:
    at = 0
    while at < len(pieces):
        if at + 1 < len(pieces) and (pieces[at], pieces[at + 1]) == pair:
            yield pieces[at] + pieces[at + 1]
            at += 2
        else:
            yield pieces[at]
            at += 1


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
    merges = [pair for pair in learn_merges(texts, tokenizer, count) if "".join(pair) not in vocabulary]
    if not merges:
        raise BadData("vocabulary.tokens: the corpus gives no new token; remove the section")
    first = max([*vocabulary.values(), *(token["id"] for token in content["added_tokens"])]) + 1
    model = AutoModelForCausalLM.from_pretrained(base.path, dtype="auto")
    if first + len(merges) > model.config.vocab_size:
        model.resize_token_embeddings(first + len(merges), mean_resizing=False)
    for number, pair in enumerate(merges):
        token = "".join(pair)
        pieces = [vocabulary[piece] for piece in _old_pieces(token, tokenizer)]
        _begin_as_mean(model, first + number, pieces)
        content["model"]["merges"].append(list(pair) if _merges_are_lists(content) else " ".join(pair))
    content["model"]["vocab"] |= {"".join(pair): first + number for number, pair in enumerate(merges)}
    model.save_pretrained(target, safe_serialization=True)
    copy_side_files(base.path, target)
    (target / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    for stale in ("vocab.json", "merges.txt"):  # the slow tokenizer's files would contradict tokenizer.json
        (target / stale).unlink(missing_ok=True)
    return len(merges)


def _old_pieces(token: str, tokenizer: Tokenizer) -> list[str]:
    return [piece.value for piece in tokenizer.model.tokenize(token)]


def _merges_are_lists(content: dict[str, Any]) -> bool:
    merges = content["model"]["merges"]
    return bool(merges) and isinstance(merges[0], list)


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
        for name, weight in kwargs["model"].named_parameters():
            if weight.grad is None:
                continue
            if "embed_tokens" in name or "lm_head" in name:
                weight.grad[: self._first_new] = 0
            else:
                weight.grad = None
