"""Log-probabilities of token sequences: batched by length, what continuations share computed once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from transformers import PreTrainedModel

from trainers.evaluation.logits import logits_of
from trainers.training.data.turns import common_start

_LOGIT_BYTES = 256 * 2**20
"""Most bytes of float32 logits held at once: a vocabulary of 150,000 over a whole batch would not fit."""
_PROBE = [tuple(range(first, first + 8)) for first in (3, 11, 19, 27)]
"""Token ids of a common start and of three branches, to see whether the model keeps branches apart."""
_ALIKE = {torch.float32: 1e-3}
"""Most nats a token that a branch beside others may differ from the same branch alone, by the weights' type."""
_ROUGHLY_ALIKE = 0.1


@dataclass(frozen=True)
class Continuation:
    """What is asked: the log-probability of `tokens` after `context` (token ids; neither is empty)."""

    context: tuple[int, ...]
    tokens: tuple[int, ...]

    def within(self, window: int) -> "Continuation":
        """The same with so much cut from its left that a model of this window can read it."""
        excess = len(self.context) + len(self.tokens) - 1 - window
        if excess <= 0:
            return self
        if excess < len(self.context):
            return Continuation(self.context[excess:], self.tokens)
        kept = (self.context + self.tokens)[excess:]
        return Continuation(kept[:1], kept[1:])


@dataclass
class _Tree:
    """Continuations of one item as one sequence: their common start, then each one's own rest.

    A token sees the common start and its own branch. `predictions` holds (place fed, token predicted, owner).
    """

    tokens: list[int]
    positions: list[int] = field(default_factory=list)
    branches: list[tuple[int, int]] = field(default_factory=list)  # [start, end) of each rest that is not empty
    predictions: list[tuple[int, int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, requests: Sequence[Continuation]) -> "_Tree":
        fed = [(request.context + request.tokens)[:-1] for request in requests]
        common = common_start(fed)
        tree = cls(list(fed[0][:common]), list(range(common)))
        for owner, (request, tokens) in enumerate(zip(requests, fed, strict=True)):
            start = len(tree.tokens)
            tree.tokens += tokens[common:]
            tree.positions += range(common, len(tokens))
            if len(tokens) > common:
                tree.branches.append((start, len(tree.tokens)))
            for index, token in enumerate(request.tokens, start=len(request.context) - 1):
                place = index if index < common else start + index - common
                tree.predictions.append((place, token, owner))
        return tree

    @property
    def common(self) -> int:
        """Tokens of the common start."""
        return self.branches[0][0] if self.branches else len(self.tokens)


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices grouped so that (longest x count) stays within `budget` tokens, padding included.

    Longest first: memory that does not suffice shows in the first batch, not in the last. A sequence
    that alone exceeds the budget gets its own batch.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


class Scorer:
    """Sums of token log-probabilities (nats) under one model, of any family."""

    def __init__(self, model: PreTrainedModel, max_length: int, batch_tokens: int):
        self._model, self._decoder = model, model.get_decoder()
        self._device, self._dtype = model.device, model.dtype
        self._vocabulary = model.get_output_embeddings().weight.shape[0]
        self._max_length = max_length
        self._batch_tokens = batch_tokens
        self._most_shared = _attention_window(model.config) if self._keeps_branches_apart() else 0.0
        self.truncated = 0
        self.tokens = 0
        self.padding = 0

    def score(self, items: Sequence[Sequence[Continuation]]) -> list[list[float]]:
        """Log-probability of each continuation of each item, in their order.

        The continuations of one item share the pass over their common start: the choices of a long question
        cost little more than one. They do not where the model cannot (recurrent layers, positions that are not
        given), nor where one is longer than the window that its attention slides over the text. One that is longer
        than `max_length` loses the left of its context; `truncated` counts these.
        """
        totals = [[0.0] * len(item) for item in items]
        trees: list[tuple[_Tree, int, int]] = []  # the tree, its item, the index of its first continuation
        for number, item in enumerate(items):
            fitting = [request.within(self._max_length) for request in item]
            cut = sum(fits is not request for fits, request in zip(fitting, item, strict=True))
            self.truncated += cut
            longest = max(len(request.context) + len(request.tokens) - 1 for request in fitting)
            if cut or longest > self._most_shared:  # cut at different places, there is no common start
                trees += [(_Tree.of([request]), number, index) for index, request in enumerate(fitting)]
            else:
                trees.append((_Tree.of(fitting), number, 0))
        for branched in (False, True):  # apart, because plain sequences need no mask, and that is faster
            some = [entry for entry in trees if bool(len(entry[0].branches) > 1) == branched]
            for group in batches([len(tree.tokens) for tree, _, _ in some], self._batch_tokens):
                members = [some[index] for index in group]
                sizes = [len(tree.tokens) for tree, _, _ in members]
                self.tokens += sum(sizes)
                self.padding += max(sizes) * len(sizes) - sum(sizes)
                for (_, number, first), values in zip(members, self._pass([m[0] for m in members]), strict=True):
                    for owner, value in values.items():
                        totals[number][first + owner] += value
        return totals

    @torch.inference_mode()
    def _pass(self, trees: list[_Tree]) -> list[dict[int, float]]:
        """One forward pass; for each tree the sum of log-probabilities by owner."""
        width = len(trees[0].tokens)
        fed = torch.zeros((len(trees), width), dtype=torch.long)
        positions = torch.zeros((len(trees), width), dtype=torch.long)
        for row, tree in enumerate(trees):
            fed[row, : len(tree.tokens)] = torch.tensor(tree.tokens)
            positions[row, : len(tree.tokens)] = torch.tensor(tree.positions)
        extra = {}
        if any(len(tree.branches) > 1 for tree in trees):
            extra = {"attention_mask": self._mask(trees, width), "position_ids": positions.to(self._device)}
        # Else no mask: padding is on the right, and attention looks left only.
        outputs = self._decoder(input_ids=fed.to(self._device), use_cache=False, **extra)
        places = [row * width + place for row, tree in enumerate(trees) for place, _, _ in tree.predictions]
        targets = [token for tree in trees for _, token, _ in tree.predictions]
        values = iter(self._log_probabilities(outputs, torch.tensor(places), torch.tensor(targets)).tolist())
        sums = []
        for tree in trees:
            by_owner: dict[int, list[float]] = {}
            for _, _, owner in tree.predictions:
                by_owner.setdefault(owner, []).append(next(values))
            sums.append({owner: math.fsum(parts) for owner, parts in by_owner.items()})
        return sums

    def _mask(self, trees: list[_Tree], width: int) -> torch.Tensor:
        """(trees, 1, width, width), added to attention: 0 where a token may look, the lowest number elsewhere."""
        seen = torch.ones((width, width), dtype=torch.bool).tril().repeat(len(trees), 1, 1)
        for row, tree in enumerate(trees):
            for start, end in tree.branches:
                seen[row, end:, start:end] = False  # later branches do not see this one
        mask = torch.zeros(seen.shape, dtype=self._dtype).masked_fill_(~seen, torch.finfo(self._dtype).min)
        return mask[:, None].to(self._device)

    def _log_probabilities(self, outputs: Any, places: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The decoder's outputs, (positions,) places in them and (positions,) targets -> log-probabilities, float64."""
        at_once = max(1, _LOGIT_BYTES // (4 * self._vocabulary))
        parts = []
        for some, wanted in zip(places.split(at_once), targets.split(at_once), strict=True):
            logits = logits_of(self._model, outputs, some).float()
            chosen = logits.gather(1, wanted[:, None].to(logits.device))[:, 0]
            parts.append((chosen - logits.logsumexp(dim=1)).double().cpu())
        return torch.cat(parts)

    def _keeps_branches_apart(self) -> bool:
        """Measured in the loaded model, because families differ: is a branch beside another scored as if alone?"""
        if "position_ids" not in signature(self._decoder.forward).parameters:
            return False
        context, *branches = _PROBE
        one, other, last = (Continuation(context, tokens) for tokens in branches)
        alone, beside_one, beside_other = (
            self._pass([_Tree.of(requests)])[0][len(requests) - 1] for requests in ([last], [one, last], [other, last])
        )
        heeds_positions = abs(alone - beside_one) <= _ALIKE.get(self._dtype, _ROUGHLY_ALIKE) * len(last.tokens)
        return heeds_positions and math.isclose(beside_one, beside_other, rel_tol=1e-6)


def _attention_window(config: Any) -> float:
    """Tokens that every layer sees of what is before one; a mask of one's own replaces the model's windows."""
    text = config.get_text_config()
    windows = [getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min((window for window in windows if window), default=math.inf)
