"""The watch for reward hacking: curves of KL, length and repetition, and the rules that stop a training on them."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.contract.recipe.alignment import StopRules
from trainers.text.repetition import repetition
from trainers.training.alignment.rewards import Reward

_PATIENCE = 3
"""Logs in a row over a limit: one odd batch stops nothing."""


class HackingWatch(TrainerCallback):
    """Stops a training whose curves break a rule; `reason` says which."""

    def __init__(self, rules: StopRules):
        self.rules = rules
        self.reason: str | None = None
        self._first_length: float | None = None
        self._over: dict[str, int] = {}
        self._repeated: list[float] = []

    def reward(self) -> Reward:
        """A reward function, to be given weight 0, that hears every answer; TRL logs its curve."""

        def repeated_share(prompts: list[Any], completions: list[Any], **_: Any) -> list[float | None]:
            self._repeated = [repetition(completion[-1]["content"]) for completion in completions]
            return list(self._repeated)

        return repeated_share

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Compare the newest figures with the rules."""
        logs: dict[str, float] = kwargs["logs"]
        length = logs.get("completions/mean_length")
        if length is None:
            return
        self._first_length = self._first_length or length
        figures: dict[str, tuple[float, float | None]] = {
            "kl": (logs.get("kl", 0.0), self.rules.kl),
            "length_growth": (length / max(self._first_length, 1.0), self.rules.length_growth),
            "repetition": (
                sum(self._repeated) / len(self._repeated) if self._repeated else 0.0,
                self.rules.repetition,
            ),
        }
        for name, (value, limit) in figures.items():
            self._over[name] = self._over.get(name, 0) + 1 if limit is not None and value > limit else 0
            if self._over[name] >= _PATIENCE:
                self.reason = f"{name} {value:.3g} is above stop.{name} {limit} for {_PATIENCE} logs"
                control.should_training_stop = True
