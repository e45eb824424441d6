"""A training that stands still: what of it can be saved before it ends."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.runner.ranks import world_size

_FROM_THE_LAST = "the next attempt goes on from the last checkpoint"


class WholeSteps(TrainerCallback):
    """Knows when the weights are those of a whole step, and which random numbers came next after it.

    They are not while the optimizer steps; and from an epoch's end to the end of the next epoch's first step, an
    evaluation and the new order of rows draw random numbers that a resumed training would draw again.
    """

    def __init__(self, trainer: Any):
        self._trainer = trainer
        self._whole = False
        self._restore: Callable[[], None] = lambda: None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Remember the random numbers' state; of several processes none will save."""
        if world_size() == 1:
            self._restore = _random_state()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The step is in the history now, too; where it is about to be saved anyway, `on_save` comes next."""
        self._whole = "loss" in kwargs["logs"] and not control.should_save

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The step is saved."""
        self._whole = True

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The weights are about to change."""
        self._whole = False

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """What comes now draws random numbers outside of a step."""
        self._whole = False

    def save(self) -> str:
        """Save the last whole step where that is possible; says what became of it."""
        step = self._trainer.state.global_step
        if world_size() > 1:
            return f"nothing is saved, because the other processes may not answer: {_FROM_THE_LAST}"
        if not self._whole:
            return f"nothing is saved, because it stands still between two whole steps: {_FROM_THE_LAST}"
        self._restore()
        self._trainer._save_checkpoint(self._trainer.model, None)
        return f"step {step} is saved, and the next attempt goes on from there"


def _random_state() -> Callable[[], None]:
    """A function that sets every generator back to where it is now."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)

    return restore
