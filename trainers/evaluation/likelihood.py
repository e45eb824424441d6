"""Log-probabilities of token sequences: batched by length, computed once where requests share their input."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

_LOGIT_BYTES = 256 * 2**20
"""Most bytes of float32 logits held at once: a vocabulary of 150,000 over a whole batch would not fit."""


@dataclass(frozen=True)
class Continuation:
    """What is asked: the log-probability of `tokens` after `context` (token ids; context is not empty)."""

    context: tuple[int, ...]
    tokens: tuple[int, ...]


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
        self._device = model.device
        self._max_length = max_length
        self._batch_tokens = batch_tokens
        self.truncated = 0
        self.tokens = 0
        self.padding = 0

    def score(self, requests: Sequence[Continuation]) -> list[float]:
        """Log-probability of each continuation, in the order of the requests.

        Requests whose inputs are equal (all tokens but the last) share one pass: choices of one token
        cost one pass for all of them. A sequence longer than the model's window loses the left of its
        context; `truncated` counts these.
        """
        shared: dict[tuple[tuple[int, ...], int], list[int]] = {}
        for number, request in enumerate(requests):
            shared.setdefault(self._input(request), []).append(number)
        inputs = list(shared)
        totals = [0.0] * len(requests)
        for group in batches([len(tokens) for tokens, _ in inputs], self._batch_tokens):
            members = [(inputs[index], shared[inputs[index]]) for index in group]
            for owners, value in self._score_batch(requests, members):
                for owner in owners:
                    totals[owner] += value
        return totals

    def _input(self, request: Continuation) -> tuple[tuple[int, ...], int]:
        """The tokens to feed, and how many of the last positions predict something."""
        tokens = (request.context + request.tokens)[:-1]
        if len(tokens) > self._max_length:
            self.truncated += 1
            tokens = tokens[-self._max_length :]
        return tokens, min(len(request.tokens), len(tokens))

    @torch.inference_mode()
    def _score_batch(
        self, requests: Sequence[Continuation], members: list[tuple[tuple[tuple[int, ...], int], list[int]]]
    ) -> list[tuple[list[int], float]]:
        width = len(members[0][0][0])
        fed = torch.zeros((len(members), width), dtype=torch.long)
        rows: list[int] = []
        targets: list[int] = []
        pieces: list[tuple[list[int], int]] = []  # (requests it belongs to, how many tokens)
        for row, ((tokens, predicted), owners) in enumerate(members):
            fed[row, : len(tokens)] = torch.tensor(tokens)
            first = row * width + len(tokens) - predicted
            if predicted > 1:
                rows += range(first, first + predicted - 1)
                targets += tokens[len(tokens) - predicted + 1 :]
                pieces.append((owners, predicted - 1))
            for owner in owners:
                rows.append(first + predicted - 1)
                targets.append(requests[owner].tokens[-1])
                pieces.append(([owner], 1))
            self.tokens += len(tokens)
            self.padding += width - len(tokens)
        # Padding is on the right, and attention looks left only: no mask is needed.
        hidden = self._backbone(input_ids=fed.to(self._device), use_cache=False).last_hidden_state
        picked = hidden.reshape(-1, hidden.shape[-1])[torch.tensor(rows, device=self._device)]
        values = self._log_probabilities(picked, torch.tensor(targets, device=self._device)).tolist()
        sums, start = [], 0
        for owners, count in pieces:
            sums.append((owners, math.fsum(values[start : start + count])))
            start += count
        return sums

    def _log_probabilities(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(positions, width) hidden states and (positions,) targets -> (positions,) log-probabilities, float64."""
        at_once = max(1, _LOGIT_BYTES // (4 * self._head.weight.shape[0]))
        parts = []
        for start in range(0, len(targets), at_once):
            logits = self._head(hidden[start : start + at_once]).float()
            wanted = logits.gather(1, targets[start : start + at_once, None])[:, 0]
            parts.append((wanted - logits.logsumexp(dim=1)).double().cpu())
        return torch.cat(parts)
