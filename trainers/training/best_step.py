"""The step with the lowest held-out loss: its checkpoint is kept, and its weights are what is published."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch.distributed.fsdp import FSDPModule
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.runner.ranks import from_leader, is_leader
from trainers.training.checkpoints import Checkpoints


def lowest(history: Iterable[Mapping[str, float]]) -> tuple[float, int] | None:
    """The lowest held-out loss of a history and its step, the earliest of equals; None where nothing was measured."""
    measured = ((row["eval_loss"], int(row["step"])) for row in history if "eval_loss" in row)
    return min(((loss, step) for loss, step in measured if math.isfinite(loss)), default=None)


class BestStep(TrainerCallback):
    """Asks for a checkpoint of each step that is better than all before it, and has it kept while none is better.

    What is best follows from the history alone, which checkpoints keep: a training that was killed keeps what it would
    have kept. transformers measures the last step as well, whatever `evaluation_steps` divides (DefaultFlowCallback).
    """

    def __init__(self, checkpoints: Checkpoints):
        self._checkpoints = checkpoints

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A resumed training has a best step already."""
        self._spare(state)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """What is lowest now is saved; the weights of the last step are there."""
        self._spare(state)
        if self._checkpoints.spared == state.global_step < state.max_steps:
            control.should_save = True

    def _spare(self, state: TrainerState) -> None:
        best = lowest(state.log_history)
        self._checkpoints.spared = best[1] if best else None


def go_back_to_best(trainer: Any, checkpoints: Checkpoints, say: Callable[[str], None]) -> int | None:
    """Put the weights of the step with the lowest held-out loss into the model; returns the step, None without one.

    Raises:
        BadData: its checkpoint is not what was saved.
    """
    best = lowest(trainer.state.log_history)
    if best is None:
        return None
    loss, step = best
    say(f"published is step {step} of {trainer.state.global_step}, whose held-out loss {loss:.4g} is the lowest")
    if step != trainer.state.global_step:
        folder = from_leader(checkpoints.of_step(step) if is_leader() else None)
        for module in trainer.model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # an evaluation leaves the last layers whole, and parts are loaded into parts
        trainer.state.best_model_checkpoint = str(folder / f"checkpoint-{step}")
        trainer._load_best_model()
    return step
