"""The training loop around TRL: durable checkpoints, a stage's voice, a clean stop, and what is known at the end."""

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.artifacts import write_atomically
from trainers.checkpoints import Checkpoints
from trainers.contract import Interrupted, LossIsNaN, sha256_of
from trainers.recipe import TrainingSection
from trainers.stage import StageContext

_HISTORY_KEYS = (
    "step",
    "epoch",
    "loss",
    "eval_loss",
    "grad_norm",
    "learning_rate",
    "mean_token_accuracy",
    "rewards/accuracies",
    "rewards/margins",
    "eval_rewards/accuracies",
    "eval_rewards/margins",
    "tokens",
)
_PLOT_POINTS = 200
_TAIL = 0.1


def training_arguments(kind: type[TrainingArguments], context: StageContext, **own: Any) -> Any:
    """The section as TRL's arguments of the given kind; `own` are the algorithm's.

    Saving is left to the loop (`save_strategy: no`), because TRL's own checkpoints are written in place.
    """
    section: TrainingSection = context.section
    on_gpu = torch.cuda.is_available()
    bf16 = on_gpu and torch.cuda.is_bf16_supported()
    settings: dict[str, Any] = dict(
        output_dir=str(context.scratch / "trl"),
        seed=context.request.seed,
        data_seed=context.request.seed,
        learning_rate=section.learning_rate,
        lr_scheduler_type=section.schedule,
        warmup_steps=section.warmup_share,
        weight_decay=section.weight_decay,
        per_device_train_batch_size=section.batch_size,
        per_device_eval_batch_size=section.batch_size,
        gradient_accumulation_steps=section.accumulation,
        num_train_epochs=section.epochs,
        max_steps=section.max_steps or -1,
        eval_strategy="epoch",
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,  # a NaN must be seen, not averaged away
        disable_tqdm=True,
        report_to=[name for name in section.report_to if name != "mlflow"],  # mlflow hears from the reporter
        use_cpu=not on_gpu,
        bf16=bf16,
        gradient_checkpointing=on_gpu,
        dataloader_pin_memory=on_gpu,
        remove_unused_columns=False,
    )
    _place_logs(context)
    return kind(**{**settings, **own})


def _place_logs(context: StageContext) -> None:
    home = Path(os.environ.get("KOREAN_LLM_HOME", "var")).absolute() / "tracking"
    run = f"{context.request.stage}-{context.request.digest[:12]}"
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(home / "tensorboard" / run))
    os.environ.setdefault("WANDB_DIR", str(home))
    os.environ.setdefault("WANDB_NAME", run)
    home.mkdir(parents=True, exist_ok=True)


class Durable:
    """Mixed into a TRL trainer, in front of it: checkpoints through `Checkpoints`, and no silent NaN."""

    checkpoints: Checkpoints
    context: StageContext
    state: TrainerState
    _aside: Path | None = None
    _tokens = 0

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with self.checkpoints.writing(self.state.global_step) as self._aside:
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
        self._aside = None

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._aside or super()._get_output_dir(trial))  # type: ignore[misc]

    def create_model_card(self, *arguments: Any, **named: Any) -> None:
        """No model card in a checkpoint: TRL would write one into each."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """One micro-batch; stops at a loss that is no number."""
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)  # type: ignore[misc]
        if not torch.isfinite(loss):
            evidence = self.context.scratch / "nan-batch.pt"
            torch.save({"step": self.state.global_step + 1, "inputs": inputs}, evidence)
            raise LossIsNaN(
                f"the loss became {loss.item()} in step {self.state.global_step + 1}; the batch is kept in {evidence}. "
                "Lower learning_rate or raise warmup_share; if the batch looks wrong, mend the data"
            )
        if num_items_in_batch is not None:
            self._tokens = int(num_items_in_batch)
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add how many tokens the step was trained on."""
        if "loss" in logs and self._tokens:
            logs["tokens"] = self._tokens
        super().log(logs, start_time)  # type: ignore[misc]


class Voice(TrainerCallback):
    """Tells the stage's reporter how training goes, asks for checkpoints, and hears SIGTERM."""

    def __init__(self, context: StageContext, tokens_per_step: float):
        self._context = context
        self._section: TrainingSection = context.section
        self._tokens_per_step = tokens_per_step
        self._started = 0.0
        self._first_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._started, self._first_step = time.monotonic(), state.global_step

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Pass figures on."""
        if not state.is_world_process_zero:
            return
        logs: dict[str, float] = kwargs["logs"]
        figures = {key.removeprefix("train/"): value for key, value in logs.items() if isinstance(value, int | float)}
        if "loss" in logs:
            speed = self._speed(state.global_step)
            self._context.reporter.progress(
                state.global_step, state.max_steps, figures={"loss": logs["loss"], "tokens/s": speed}
            )
            figures["tokens_per_second"] = speed
        self._context.reporter.metrics(state.global_step, figures)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a checkpoint where one is due; stop where the stage was told to."""
        if state.global_step % self._section.checkpoint_steps == 0:
            control.should_save = True
        if self._context.stop.requested:
            control.should_save = True
            control.should_training_stop = True
        if state.global_step >= state.max_steps:
            control.should_save = False  # what follows is short, and ends in the artifact itself

    def _speed(self, step: int) -> float:
        return (step - self._first_step) * self._tokens_per_step / max(time.monotonic() - self._started, 1e-9)


@dataclass
class Trained:
    """What is known when a training has ended."""

    history: list[dict[str, float]]
    steps: int
    epochs: float
    tokens_trained: int
    seconds: float
    steps_here: int

    def write_history(self, path: Path) -> None:
        """One JSON line per step."""
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in self.history))

    def curve(self, key: str) -> list[tuple[int, float]]:
        """(step, value) of one figure, thinned for a plot; the last point is kept."""
        points = [(int(row["step"]), row[key]) for row in self.history if key in row]
        every = math.ceil(len(points) / _PLOT_POINTS) or 1
        return points[::-every][::-1]

    def last(self, key: str) -> float:
        """The mean of a figure over the last tenth of its rows."""
        values = [row[key] for row in self.history if key in row]
        tail = values[-max(1, int(len(values) * _TAIL)) :]
        return sum(tail) / len(tail)


def identity_of(context: StageContext, data: str) -> dict[str, str]:
    """What a checkpoint belongs to: the recipe's section, the inputs and the prepared data."""
    request = context.request
    return {
        "recipe": sha256_of({"section": request.section, "seed": request.seed, "version": request.stage_version}),
        "inputs": sha256_of({item.name: item.digest for item in request.inputs}),
        "data": data,
    }


def train(trainer: Any, context: StageContext, data: str, tokens_per_step: float) -> Trained:
    """Train to the end, from the newest checkpoint that verifies. `data` is the prepared data's hash.

    Raises:
        Interrupted: stopped by SIGTERM after saving.
        LossIsNaN: the loss became NaN or infinite.
    """
    warn = context.reporter.warn
    trainer.context = context
    trainer.checkpoints = Checkpoints(context.scratch / "checkpoints", identity_of(context, data), warn)
    trainer.add_callback(Voice(context, tokens_per_step))
    trainer.remove_callback(PrinterCallback)  # the reporter speaks
    newest = trainer.checkpoints.newest()
    resume = None
    if newest is not None:
        step = Checkpoints.step_of(newest)
        resume = str(newest / f"checkpoint-{step}")
        context.attempt.resumed_from_step = step
        context.reporter.say(f"going on from step {step}")
    started = time.monotonic()
    with context.stop.deferred():
        trainer.train(resume_from_checkpoint=resume)
    state = trainer.state
    if state.global_step < state.max_steps:
        raise Interrupted(f"stopped by SIGTERM; step {state.global_step} of {state.max_steps} is saved, run again")
    history = [{key: row[key] for key in _HISTORY_KEYS if key in row} for row in state.log_history]
    history = [row for row in history if "loss" in row or "eval_loss" in row]
    return Trained(
        history=history,
        steps=state.global_step,
        epochs=state.epoch,
        tokens_trained=int(sum(row.get("tokens", 0) for row in history)),
        seconds=time.monotonic() - started,
        steps_here=state.global_step - (context.attempt.resumed_from_step or 0),
    )
