"""The training loop around TRL: durable checkpoints, reports, a clean stop, and what is known at the end."""

import gc
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.contract import BadRequest, DoesNotFit, Interrupted, LossIsNaN, Stalled, sha256_of
from trainers.contract.recipe import TrainingSection
from trainers.runner.figures import FIGURES
from trainers.runner.host_memory import HostMemory
from trainers.runner.ranks import any_of, from_leader, is_leader, wait_for_all, world_size
from trainers.runner.stage import StageContext
from trainers.training.arguments import is_sharded
from trainers.training.best_step import BestStep, go_back_to_best
from trainers.training.checkpoints import Checkpoints
from trainers.training.learning_rates import schedule_settings, set_rates
from trainers.training.muon import muon_and_adamw
from trainers.training.patience import Patience
from trainers.training.replay import TextReplay
from trainers.training.stall_save import WholeSteps
from trainers.training.stall_watchdog import Watchdog
from trainers.training.steps import Batching, batching_of, readers
from trainers.training.trained import Trained

# accelerate calls the device of one CPU process among several "cpu:0", and torch loads no checkpoint to that name.
torch.serialization.register_package(
    9, lambda storage: None, lambda storage, location: storage if location.startswith("cpu:") else None
)


_HELD_OUT = "held-out batch"
_GATHERED = StateDictOptions(
    full_state_dict=True, cpu_offload=True, broadcast_from_rank0=True, ignore_frozen_params=True
)
"""As accelerate gathers what is shared out (`Accelerator.get_state_dict`), without what does not learn."""


class Durable:
    """Mixed into a TRL trainer, in front of it: checkpoints through `Checkpoints`, and no silent NaN."""

    checkpoints: Checkpoints
    context: StageContext
    model: Any
    args: TrainingArguments
    state: TrainerState
    optimizer: Any
    stopped_because: Callable[[], str | None] = staticmethod(lambda: None)
    replay: TextReplay | None = None
    leakage: float | None = None
    """Between packed documents, where a trainer packs (see leakage.py)."""
    _aside: Path | None = None
    _tokens = 0
    _replay_loss: float | None = None

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

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The weights, in `output_dir`. What is shared out lies in a checkpoint already, in the form that each process
        reads its part of; elsewhere only what learns is gathered in the leader's memory, not what it learns beside: of
        a 72B, 145 GB."""
        if not self.is_fsdp_enabled:  # type: ignore[attr-defined]
            super().save_model(output_dir, _internal_call)  # type: ignore[misc]
        elif not _internal_call:
            learned = get_model_state_dict(self.model, options=_GATHERED)
            if is_leader():
                self._save(output_dir, state_dict=learned)  # type: ignore[attr-defined]

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._aside or super()._get_output_dir(trial))  # type: ignore[misc]

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Random numbers as they were saved. Where an epoch's end was saved but not evaluated any more, that comes
        first: an evaluation draws random numbers too, and its figures belong into the history."""
        super()._load_rng_state(checkpoint)  # type: ignore[misc]
        step, epoch = self.state.global_step, self.state.epoch or 0.0
        evaluated = any(row["step"] == step and "eval_loss" in row for row in self.state.log_history)
        if self.args.eval_strategy == "epoch" and float(epoch).is_integer() and not evaluated:
            self._evaluate(None, None)  # type: ignore[attr-defined]

    def create_optimizer(self, model: Any = None) -> Any:
        """Embeddings and adapters learn at their own rates where the section names some."""
        section, model = self.context.section, model or self.model
        if section.optimizer == "muon" and self.optimizer is None:
            self.optimizer = muon_and_adamw(model, self.get_decay_parameter_names(model), section)  # type: ignore[attr-defined]
        optimizer = super().create_optimizer(model)  # type: ignore[misc]
        set_rates(optimizer, model, section)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The number of steps, of which WSD's decay is a share, is known only here."""
        self.args.lr_scheduler_kwargs = schedule_settings(self.context.section, num_training_steps)
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
        if self.replay is not None and self.accelerator.sync_gradients:  # type: ignore[attr-defined]
            self._replay_loss = self.replay.backward(self, model)
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add how many tokens the step was trained on, and what the text beside it cost."""
        if "loss" in logs and self._tokens:
            logs["tokens"] = self._tokens
        if "loss" in logs and self._replay_loss is not None:
            logs["replay_loss"] = self._replay_loss
        super().log(logs, start_time)  # type: ignore[misc]


class ReporterCallback(TrainerCallback):
    """Tells the stage's reporter how training goes, asks for checkpoints, and hears SIGTERM."""

    def __init__(
        self,
        context: StageContext,
        checkpoints: Checkpoints,
        watchdog: Watchdog,
        host_memory: HostMemory,
        tokens_per_step: float,
    ):
        self._context = context
        self._host_memory = host_memory
        self._checkpoints = checkpoints
        self._watchdog = watchdog
        self._section: TrainingSection = context.section
        self._tokens_per_step = tokens_per_step
        self._started = 0.0
        self._first_step = 0
        self._logged = (0, 0.0)
        self.speeds: list[dict[str, float]] = []
        self._held_out_batches = 0
        self._stopped = False
        self.seconds = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._host_memory.phase_ended("set_up")
        self._watchdog.training_begins()
        self._started, self._first_step = time.monotonic(), state.global_step
        self._logged = self._first_step, self._started

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """A save is no stall; it counts as training time."""
        self._watchdog.pause_ended()
        self._context.reporter.checkpoint_saved()
        self.seconds = time.monotonic() - self._started

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """An evaluation is no stall, and says how far it is; its last batch is told with what it came to."""
        self._watchdog.pause_ended()
        self._context.reporter.pulse()
        self._held_out_batches += 1
        if self._held_out_batches < (total := len(kwargs["eval_dataloader"])):
            self._context.reporter.progress(self._held_out_batches, total, _HELD_OUT)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """What the evaluation came to."""
        figures = {"loss": loss} if (loss := kwargs["metrics"].get("eval_loss")) is not None else {}
        self._context.reporter.progress(self._held_out_batches, self._held_out_batches, _HELD_OUT, figures)
        self._held_out_batches = 0

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """What follows has no steps."""
        self._host_memory.phase_ended("training")
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
            (before, at), self._logged = self._logged, (state.global_step, time.monotonic())
            tokens = (state.global_step - before) * self._tokens_per_step
            row = {"step": state.global_step, "tokens_per_second": tokens / max(self._logged[1] - at, 1e-9)}
            self.speeds.append(row)
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
        Stalled: no step for far longer than usual, or a set-up that does nothing.
        DoesNotFit: not even one row fits into the GPU.
        BadRequest: `shard_weights` where nothing would be sharded.
    """
    section: TrainingSection = context.section
    checkpoints = Checkpoints(
        context.scratch / "checkpoints",
        identity_of(context, data),
        context.reporter.warn,
        background=section.background_saves,
    )
    watchdog = Watchdog(section.stall_seconds, context.scratch / "stalled-stacks.txt")
    host_memory = HostMemory()
    batching = batching_of(section)
    if batching != Batching(section.batch_size, section.accumulation):
        context.reporter.say(
            f"the request counts {section.processes} processes, here are {world_size()}: {batching} each"
        )
    first_step = None
    with context.stop.deferred(), watchdog.watching(), checkpoints.settled():
        while True:
            watchdog.set_up_begins()
            trainer = build(batching)
            if is_sharded(section) and not trainer.is_fsdp_enabled:
                raise BadRequest(
                    "shard_weights: true, but FSDP does not come on here (accelerate shards over GPUs only), so that "
                    "each process would hold the whole model; take the key away, or train on several GPUs"
                )
            trainer.context, trainer.checkpoints = context, checkpoints
            tokens_per_step = tokens_per_row * batching.rows * readers(section)
            callback = ReporterCallback(context, checkpoints, watchdog, host_memory, tokens_per_step)
            trainer.add_callback(callback)
            trainer.remove_callback(PrinterCallback)  # the reporter speaks
            if section.patience is not None:
                patience = Patience(section.patience)
                trainer.add_callback(patience)
                trainer.stopped_because = partial(getattr, patience, "reason")
            if section.keep == "best":
                trainer.add_callback(BestStep(checkpoints))
            resume = _newest(checkpoints, context)
            first_step = Checkpoints.step_of(resume.parent) if resume and first_step is None else first_step or 0
            error = _trained(trainer, resume)
            if error is None:
                break
            batching = _halved(batching, error)
            context.reporter.warn(f"out of GPU memory: going on with {batching}, the same rows per step")
            trainer._save_checkpoint(trainer.model, None)  # weights of the last whole step
            # Nothing may hold the old model while the next one is loaded: not a callback, not a frame of the error.
            del trainer, callback, error
            gc.collect()
            torch.cuda.empty_cache()
    state = trainer.state
    if stopped := trainer.stopped_because():
        context.reporter.warn(f"stopped before the end: {stopped}")
    elif state.global_step < state.max_steps:
        raise Interrupted(f"stopped by SIGTERM; step {state.global_step} of {state.max_steps} is saved, run again")
    best_step = go_back_to_best(trainer, checkpoints, context.reporter.say) if section.keep == "best" else None
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
        host_memory=host_memory,
        best_step=best_step,
        speeds=callback.speeds,
    )
    return trainer, trained


def _trained(trainer: Any, resume: Path | None) -> torch.OutOfMemoryError | None:
    """Train to the end; gives the error, its frames let go, where a micro-batch did not fit.

    Raises:
        Stalled: says what was saved.
    """
    steps = WholeSteps(trainer)
    trainer.add_callback(steps)
    try:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    except Stalled as stall:
        raise Stalled(f"{stall}; {steps.save()}") from stall
    except torch.OutOfMemoryError as error:
        return error.with_traceback(None)
    return None


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
