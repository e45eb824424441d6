"""Preference accuracy: how often a model gives the chosen answer more probability than the rejected one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.contract.files import write_atomically
from trainers.runner.ranks import is_leader, wait_for_all
from trainers.training.alignment.pairs import PreferencePair

_ROWS_AT_ONCE = 16


Progress = Callable[[int, int, str], None]
"""Hears how many there are of how many, and of what."""


def preference_accuracy(model: Any, pairs: list[PreferencePair], pad_token_id: int, progress: Progress) -> float:
    """Share of pairs whose chosen answer has the higher summed log-probability (nats, the whole answer)."""
    was_training = model.training
    model.eval()
    rows = [(pair.prompt_ids, answer) for pair in pairs for answer in (pair.chosen_ids, pair.rejected_ids)]
    sums: list[float] = []
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        sums += _summed(model, rows[at : at + _ROWS_AT_ONCE], pad_token_id)
        progress(len(sums) // 2, len(pairs), "held-out pair")
    model.train(was_training)
    wins = sum(chosen > rejected for chosen, rejected in zip(sums[::2], sums[1::2], strict=True))
    return wins / len(pairs)


class AccuracyBefore(TrainerCallback):
    """The accuracy of the model that a training begins with, measured where it trains: on its device, in its shards.

    It is kept in a file, because a training that goes on from a checkpoint has that model no more.
    """

    def __init__(self, pairs: list[PreferencePair], pad_token_id: int, path: Path, progress: Progress):
        self._pairs, self._pad, self._path, self._progress = pairs, pad_token_id, path, progress

    @property
    def value(self) -> float:
        """Share of pairs, as `preference_accuracy` counts it; once the training has begun."""
        return float(json.loads(self._path.read_text(encoding="utf-8")))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure, in every process, for shards are gathered in all of them."""
        if self._path.is_file():
            return
        value = preference_accuracy(kwargs["model"], self._pairs, self._pad, self._progress)
        wait_for_all()  # nobody looks for the file any more
        if is_leader():
            write_atomically(self._path, json.dumps(value))


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
