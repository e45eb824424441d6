"""Log-probabilities of token sequences: batched by length, what continuations share computed once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

_LOGIT_BYTES = 256 * 2**20
"""Most bytes of float32 logits held at once: a vocabulary of 150,000 over a whole batch would not fit."""


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
        common = _common_start(fed)
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
    """Sums of token log-probabilities (nats) under one model."""

    def __init__(self, model: PreTrainedModel, max_length: int, batch_tokens: int):
        self._backbone = model.base_model
        self._head = model.get_output_embeddings()
        self._device, self._dtype = model.device, model.dtype
        self._max_length = max_length
        self._batch_tokens = batch_tokens
        self.truncated = 0
        self.tokens = 0
        self.padding = 0

    def score(self, items: Sequence[Sequence[Continuation]]) -> list[list[float]]:
        """Log-probability of each continuation of each item, in their order.

        The continuations of one item share the pass over their common start: the choices of a long question
        cost little more than one. One that is longer than the model's window loses the left of its context;
        `truncated` counts these.
        """
        totals = [[0.0] * len(item) for item in items]
        trees: list[tuple[_Tree, int, int]] = []  # the tree, its item, the index of its first continuation
        for number, item in enumerate(items):
            fitting = [request.within(self._max_length) for request in item]
            cut = sum(fits is not request for fits, request in zip(fitting, item, strict=True))
            self.truncated += cut
            if cut:  # cut at different places, so there is no common start
                trees += [(_Tree.of([request]), number, index) for index, request in enumerate(fitting)]
            else:
                trees.append((_Tree.of(fitting), number, 0))
        for branched in (False, True):  # apart, because plain sequences need no mask, and that is faster
            some = [entry for entry in trees if bool(len(entry[0].branches) > 1) == branched]
            for group in batches([len(tree.tokens) for tree, _, _ in some], self._batch_tokens):
                members = [some[index] for index in group]
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
            self.tokens += len(tree.tokens)
            self.padding += width - len(tree.tokens)
        extra = {}
        if any(len(tree.branches) > 1 for tree in trees):
            extra = {"attention_mask": self._mask(trees, width), "position_ids": positions.to(self._device)}
        # Else no mask: padding is on the right, and attention looks left only.
        hidden = self._backbone(input_ids=fed.to(self._device), use_cache=False, **extra).last_hidden_state
        places = [row * width + place for row, tree in enumerate(trees) for place, _, _ in tree.predictions]
        targets = [token for tree in trees for _, token, _ in tree.predictions]
        # The last layer may lie on another GPU than the first.
        picked = hidden.reshape(-1, hidden.shape[-1])[torch.tensor(places, device=hidden.device)]
        values = iter(self._log_probabilities(picked, torch.tensor(targets)).tolist())
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

    def _log_probabilities(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(positions, width) hidden states and (positions,) targets -> (positions,) log-probabilities, float64."""
        at_once = max(1, _LOGIT_BYTES // (4 * self._head.weight.shape[0]))
        parts = []
        for start in range(0, len(targets), at_once):
            logits = self._head(hidden[start : start + at_once]).float()
            chosen = logits.gather(1, targets[start : start + at_once, None].to(logits.device))[:, 0]
            parts.append((chosen - logits.logsumexp(dim=1)).double().cpu())
        return torch.cat(parts)


def _common_start(sequences: Sequence[tuple[int, ...]]) -> int:
    """Length of the longest common prefix."""
    first, last = min(sequences), max(sequences)
    return next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
