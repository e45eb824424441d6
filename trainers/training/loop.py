"""The training loop around TRL: durable checkpoints, reports, a clean stop, and what is known at the end."""

import gc
import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.contract import DoesNotFit, Interrupted, LossIsNaN, Stalled, sha256_of
from trainers.contract.files import write_atomically
from trainers.contract.recipe import TrainingSection
from trainers.runner.figures import FIGURES
from trainers.runner.ranks import any_of, from_leader, is_leader, wait_for_all, world_size
from trainers.runner.stage import StageContext
from trainers.training.arguments import Batching
from trainers.training.checkpoints import Checkpoints
from trainers.training.stall_save import WholeSteps
from trainers.training.stall_watchdog import Watchdog

_PLOT_POINTS = 200
_TAIL = 0.1


class Durable:
    """Mixed into a TRL trainer, in front of it: checkpoints through `Checkpoints`, and no silent NaN."""

    checkpoints: Checkpoints
    context: StageContext
    model: Any
    args: TrainingArguments
    state: TrainerState
    stopped_because: Callable[[], str | None] = staticmethod(lambda: None)
    leakage: float | None = None
    """Between packed documents, where a trainer packs (see leakage.py)."""
    _aside: Path | None = None
    _tokens = 0

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step = self.state.global_step
        # Followers write their random numbers' state into the leader's folder.
        writing = self.checkpoints.writing(step) if is_leader() else nullcontext(self.checkpoints.aside(step))
        with writing as self._aside:
            wait_for_all()
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
            wait_for_all()
        wait_for_all()
        self._aside = None

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._aside or super()._get_output_dir(trial))  # type: ignore[misc]

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Random numbers as they were saved. Where an epoch's end was saved but not evaluated any more, that comes
        first: an evaluation draws random numbers too, and its figures belong into the history."""
        super()._load_rng_state(checkpoint)  # type: ignore[misc]
        step, epoch = self.state.global_step, self.state.epoch or 0.0
        evaluated = any(row["step"] == step and "eval_loss" in row for row in self.state.log_history)
        if self.args.eval_strategy != "no" and float(epoch).is_integer() and not evaluated:
            self._evaluate(None, None)  # type: ignore[attr-defined]

    def create_optimizer(self, model: Any = None) -> Any:
        """Embeddings learn at their own rate where the section names one."""
        optimizer = super().create_optimizer(model)  # type: ignore[misc]
        rate = self.context.section.embedding_learning_rate
        if rate is not None:
            _set_apart(optimizer, _embeddings(model or self.model), rate)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """WSD (Hu et al. 2024) decays over the last share of the steps, whose number is known only here."""
        section: TrainingSection = self.context.section
        if section.decay_share is not None:
            self.args.lr_scheduler_kwargs = {"num_decay_steps": round(num_training_steps * section.decay_share)}
        return super().create_scheduler(num_training_steps, optimizer)  # type: ignore[misc]

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


def _embeddings(model: Any) -> set[Any]:
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    return {weight for layer in layers for weight in layer.parameters() if weight.requires_grad}


def _set_apart(optimizer: Any, weights: set[Any], rate: float) -> None:
    """Move weights into parameter groups of their own with their own learning rate."""
    for group in list(optimizer.param_groups):
        moved = [weight for weight in group["params"] if weight in weights]
        if moved:
            group["params"] = [weight for weight in group["params"] if weight not in weights]
            optimizer.add_param_group({**group, "params": moved, "lr": rate, "initial_lr": rate})


class ReporterCallback(TrainerCallback):
    """Tells the stage's reporter how training goes, asks for checkpoints, and hears SIGTERM."""

    def __init__(self, context: StageContext, checkpoints: Checkpoints, watchdog: Watchdog, tokens_per_step: float):
        self._context = context
        self._checkpoints = checkpoints
        self._watchdog = watchdog
        self._section: TrainingSection = context.section
        self._tokens_per_step = tokens_per_step
        self._started = 0.0
        self._first_step = 0
        self._stopped = False
        self.seconds = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._started, self._first_step = time.monotonic(), state.global_step

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """A save is no stall; it counts as training time."""
        self._watchdog.pause_ended()
        self._context.reporter.checkpoint_saved()
        self.seconds = time.monotonic() - self._started

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """An evaluation is no stall."""
        self._watchdog.pause_ended()
        self._context.reporter.pulse()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """What follows has no steps."""
        self._context.reporter.training_ended()

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
            figures["tokens_seen"] = state.global_step * self._tokens_per_step
            if torch.cuda.is_available():
                figures["gpu_memory_bytes"] = torch.cuda.memory_reserved()
        self._context.reporter.metrics(state.global_step, figures)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a checkpoint where one is due; stop where the stage was told to."""
        self._watchdog.beat()
        self.seconds = time.monotonic() - self._started
        by_steps = state.global_step % self._section.checkpoint_steps == 0
        by_time = is_leader() and self._checkpoints.is_due(self._section.failure_hours)
        by_time, self._stopped = any_of(by_time, self._context.stop.requested)
        control.should_save = by_steps or by_time or self._stopped
        control.should_training_stop = control.should_training_stop or self._stopped
        if state.global_step >= state.max_steps:
            control.should_save = False  # what follows is short, and ends in the artifact itself

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A stage that was told to stop before its end does not evaluate first: its time to stop is short."""
        stopping = self._stopped and state.global_step < state.max_steps
        control.should_evaluate = control.should_evaluate and not stopping

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
    seconds_saving: float
    step_seconds: float

    def write_history(self, path: Path) -> None:
        """One JSON line per step."""
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in self.history))

    def curve(self, key: str) -> list[tuple[int, float]]:
        """(step, value) of one figure, thinned for a plot; the last point is kept."""
        points = [(int(row["step"]), row[key]) for row in self.history if key in row]
        every = math.ceil(len(points) / _PLOT_POINTS) or 1
        return points[::-every][::-1]

    def has(self, key: str) -> bool:
        """True where the figure was ever logged."""
        return any(key in row for row in self.history)

    def first(self, key: str) -> float:
        """The mean of a figure over the first tenth of its rows."""
        values = [row[key] for row in self.history if key in row]
        return _mean(values[: max(1, int(len(values) * _TAIL))])

    def last(self, key: str) -> float:
        """The mean of a figure over the last tenth of its rows."""
        values = [row[key] for row in self.history if key in row]
        return _mean(values[-max(1, int(len(values) * _TAIL)) :])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def identity_of(context: StageContext, data: str) -> dict[str, str]:
    """What a checkpoint belongs to: the recipe's section, the inputs and the prepared data."""
    request = context.request
    return {
        "recipe": sha256_of({"section": request.section, "seed": request.seed, "version": request.stage_version}),
        "inputs": sha256_of({item.name: item.digest for item in request.inputs}),
        "data": data,
    }


def train(
    build: Callable[[Batching], Any], context: StageContext, data: str, tokens_per_row: float
) -> tuple[Any, Trained]:
    """Train to the end, from the newest checkpoint that verifies; returns the trainer and what is known.

    `build` makes a trainer on a freshly loaded model; `data` is the prepared data's hash. Where a micro-batch does not
    fit into the GPU, it is halved and the number of micro-batches doubled: the same steps, from the last one on.

    Raises:
        Interrupted: stopped by SIGTERM after saving.
        LossIsNaN: the loss became NaN or infinite.
        Stalled: no step for far longer than usual.
        DoesNotFit: not even one row fits into the GPU.
    """
    section: TrainingSection = context.section
    checkpoints = Checkpoints(
        context.scratch / "checkpoints",
        identity_of(context, data),
        context.reporter.warn,
        background=section.background_saves,
    )
    watchdog = Watchdog(section.stall_seconds, context.scratch / "stalled-stacks.txt")
    batching = Batching(section.batch_size, section.accumulation)
    first_step = None
    with context.stop.deferred(), watchdog.watching(), checkpoints.settled():
        while True:
            trainer = build(batching)
            trainer.context, trainer.checkpoints = context, checkpoints
            callback = ReporterCallback(context, checkpoints, watchdog, tokens_per_row * batching.rows * world_size())
            steps = WholeSteps(trainer)
            trainer.add_callback(callback)
            trainer.add_callback(steps)
            trainer.remove_callback(PrinterCallback)  # the reporter speaks
            resume = _newest(checkpoints, context)
            first_step = Checkpoints.step_of(resume.parent) if resume and first_step is None else first_step or 0
            watchdog.pause_ended()
            try:
                trainer.train(resume_from_checkpoint=str(resume) if resume else None)
                break
            except Stalled as stall:
                raise Stalled(f"{stall}; {steps.save()}") from stall
            except torch.OutOfMemoryError as error:
                batching = _halved(batching, error)
                context.reporter.warn(f"out of GPU memory: going on with {batching}, the same rows per step")
                trainer._save_checkpoint(trainer.model, None)  # weights of the last whole step
            del trainer
            gc.collect()
            torch.cuda.empty_cache()
    state = trainer.state
    if state.global_step < state.max_steps and not trainer.stopped_because():
        raise Interrupted(f"stopped by SIGTERM; step {state.global_step} of {state.max_steps} is saved, run again")
    kept = [figure.name for figure in FIGURES if figure.is_kept]
    history = [{name: row[name] for name in kept if name in row} for row in state.log_history]
    history = [row for row in history if "loss" in row or "eval_loss" in row]
    trained = Trained(
        history=history,
        steps=state.global_step,
        epochs=state.epoch,
        tokens_trained=int(sum(row.get("tokens", 0) for row in history)),
        seconds=max(callback.seconds, 1e-9),
        steps_here=state.global_step - first_step,
        seconds_saving=checkpoints.seconds_saving,
        step_seconds=watchdog.usual,
    )
    return trainer, trained


def _newest(checkpoints: Checkpoints, context: StageContext) -> Path | None:
    newest: Path | None = from_leader(checkpoints.newest() if is_leader() else None)
    if newest is None:
        return None
    step = Checkpoints.step_of(newest)
    context.went_on_from(step, newest.stat().st_mtime)
    context.reporter.say(f"going on from step {step}")
    return newest / f"checkpoint-{step}"


def _halved(batching: Batching, error: torch.OutOfMemoryError) -> Batching:
    if batching.size == 1 or world_size() > 1:
        raise DoesNotFit(
            f"out of GPU memory with batch_size {batching.size}: {error}. Lower batch_size or max_length, or ask "
            "`python -m trainers plan` for a setting that fits"
        ) from error
    half = next(size for size in range(batching.size // 2, 0, -1) if batching.size % size == 0)
    return Batching(half, batching.accumulation * (batching.size // half))
