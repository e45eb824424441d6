"""Runs a stage again and again, each attempt killed (SIGKILL) at a planned place, until one attempt ends by itself.

    python -m tests.support.killed PLAN -- cpt --request ...     PLAN: JSON list of [place, number]

Each attempt is a fork of a process that has only imported the libraries, so an attempt costs no import.
Places: `step` (number n has ended), `save` (n-th save of the attempt, files written but not sealed), `seal` (sealed,
not renamed), `evaluation` (n-th batch of an evaluation), `epoch` (end of an epoch), `start` (before the first step).
Places that do not kill: `nan` (step n's loss is no number), `memory` (a full micro-batch of step n does not fit).
Prints one JSON line per attempt: place, exit status, the steps of the checkpoints left.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback
from trl import DPOTrainer, SFTTrainer

from trainers.__main__ import main
from trainers.training import checkpoints, loop

assert SFTTrainer and DPOTrainer  # imported here, once, for all attempts


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Killer(TrainerCallback):
    """Kills the process at its place."""

    def __init__(self, place: str, number: int):
        self.place, self.number, self.seen = place, number, 0

    def _at(self, place: str, now: int) -> None:
        if self.place == place and now == self.number:
            die()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._at("step", state.global_step)

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seen += 1
        self._at("evaluation", self.seen)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._at("epoch", round(state.epoch))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._at("start", 0)


def after(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    calls = 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            die()
        return function(*arguments, **named)

    return wrapped


def failing(place: str, number: int) -> Callable[..., torch.Tensor]:
    real = Trainer.training_step
    size: list[int] = []

    def training_step(self: Any, *arguments: Any, **named: Any) -> torch.Tensor:
        size.append(self.args.per_device_train_batch_size)
        here = self.state.global_step + 1 == number
        if here and place == "memory" and size[-1] == size[0]:
            raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
        loss = real(self, *arguments, **named)
        return loss * float("nan") if here and place == "nan" else loss

    return training_step


def arm(place: str, number: int) -> None:
    if place in ("nan", "memory"):
        Trainer.training_step = failing(place, number)
    elif place == "save":
        checkpoints.Checkpoints._seal = after(checkpoints.Checkpoints._seal, number)
    elif place == "seal":
        checkpoints.Checkpoints._prune = after(checkpoints.Checkpoints._prune, number)
    elif place != "never":
        before = Trainer.__init__

        def init(self: Any, *arguments: Any, **named: Any) -> None:
            before(self, *arguments, **named)
            self.add_callback(Killer(place, number))

        Trainer.__init__ = init


def attempt(place: str, number: int, arguments: list[str]) -> int:
    child = os.fork()
    if not child:
        arm(place, number)
        os._exit(main(arguments))
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status)


def run(plan: list[tuple[str, int]], arguments: list[str], artifacts: Path) -> int:
    code = 0
    for place, number in [*plan, ("never", 0)]:
        code = attempt(place, number, arguments)
        left = sorted(path.name for path in artifacts.glob("*/*/*/*.partial/scratch/checkpoints/step-*"))
        print(json.dumps({"place": place, "number": number, "code": code, "left": left}), flush=True)
    return code


if __name__ == "__main__":
    assert loop
    rest = sys.argv[3:]
    sys.exit(run(json.loads(sys.argv[1]), rest, Path(rest[rest.index("--artifacts") + 1])))
