"""Stopping a training whose held-out loss falls no more."""

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Patience(TrainerCallback):
    """Stops after `measurements` in a row without a lower held-out loss; `reason` says so.

    It is asked of the history, which checkpoints keep: a training that was killed stops where it would have.
    """

    def __init__(self, measurements: int):
        self._measurements = measurements
        self.reason: str | None = None

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Compare the newest measurements with the lowest one before them."""
        losses = [row["eval_loss"] for row in state.log_history if "eval_loss" in row]
        recent, earlier = losses[-self._measurements :], losses[: -self._measurements]
        if earlier and min(recent) >= min(earlier):
            self.reason = (
                f"the held-out loss was {min(earlier):.4g} and has not been lower in {self._measurements} measurements "
                f"(patience); now it is {recent[-1]:.4g}"
            )
            control.should_training_stop = True
