"""Preference accuracy: how often a model gives the chosen answer more probability than the rejected one."""

from typing import Any

import torch

from trainers.training.alignment.pairs import PreferencePair

_ROWS_AT_ONCE = 16


def preference_accuracy(model: Any, pairs: list[PreferencePair], pad_token_id: int) -> float:
    """Share of pairs whose chosen answer has the higher summed log-probability (nats, the whole answer)."""
    model.eval()
    rows = [(pair.prompt_ids, answer) for pair in pairs for answer in (pair.chosen_ids, pair.rejected_ids)]
    sums: list[float] = []
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        sums += _summed(model, rows[at : at + _ROWS_AT_ONCE], pad_token_id)
    wins = sum(chosen > rejected for chosen, rejected in zip(sums[::2], sums[1::2], strict=True))
    return wins / len(pairs)


def _summed(model: Any, rows: list[tuple[list[int], list[int]]], pad_token_id: int) -> list[float]:
    device = next(model.parameters()).device
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.full((len(rows), longest), pad_token_id)
    answers = torch.zeros((len(rows), longest), dtype=torch.bool)
    for number, (prompt, answer) in enumerate(rows):
        ids[number, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        answers[number, len(prompt) : len(prompt) + len(answer)] = True
    ids, answers = ids.to(device), answers.to(device)
    with torch.no_grad():  # right padding needs no mask: a causal model does not look ahead
        logits = model(ids, use_cache=False).logits[:, :-1].float()
    likelihoods = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    return [float(value) for value in (likelihoods * answers[:, 1:]).sum(1)]
