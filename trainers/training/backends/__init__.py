"""Model backends behind one small interface: transformers + peft, and unsloth where there is a GPU.

A backend loads a model to train and puts adapters on it; TRL trains whichever it was. `open_backend` must be called
before trl or transformers are imported: unsloth replaces parts of both while they load.
"""

import importlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from trainers.contract import BadRequest, ServiceMissing
from trainers.contract.recipe import TrainingSection
from trainers.runner.ranks import rank


class Backend(Protocol):
    """What a training stage asks of a backend."""

    name: str

    def lays_flat(self, model: Any) -> bool:
        """A packed micro-batch becomes one row for a model that `load` gave: its attention computes pieces of different
        lengths without a mask of all tokens against all."""

    def kernels(self, model: Any) -> dict[str, str]:
        """What computes a model that `load` gave: its attention, and by name and version whose kernels take part."""

    def load(self, folder: Path, section: TrainingSection, seed: int, tokens: Sequence[int] = ()) -> Any:
        """The model in `folder`, ready to train with the section's method: adapters are on it where it names some.

        `tokens`: those whose embeddings learn beside adapters that leave the others as they are.
        """

    def load_reward_model(self, folder: Path, section: TrainingSection, seed: int) -> Any:
        """As `load`, with one number as output in place of the next token: a reward model."""


def open_backend(section: TrainingSection, scratch: Path, say: Callable[[str], None]) -> Backend:
    """The section's backend, told with what speaks against unsloth. What `auto` is, the request has settled; one that
    has not is for no GPU. Nothing is found out from the machine: it would be another model under the same identity.

    `scratch`: a folder of the stage's own, for what unsloth writes: sources of the trainers that it makes.

    Raises:
        BadRequest: unsloth or 4-bit weights were asked for, but there is no GPU.
        ServiceMissing: unsloth was asked for, but is not installed.
    """
    name = "transformers" if section.backend == "auto" else section.backend
    if section.method == "qlora" and not _has_gpu():
        raise BadRequest("method: qlora needs a GPU (bitsandbytes' 4-bit kernels); say method: lora here")
    if name == "transformers":
        against = section.against_unsloth
        say("backend: transformers" + (f"; unsloth is not for {against}" if against else ""))
    else:
        if not _has_gpu():
            raise BadRequest(
                "backend: unsloth needs a GPU and there is none here; say backend: transformers, or, where the recipe "
                "left it open, take `gpus` out of the stage's `needs`: without GPUs it is another training"
            )
        if not _has_unsloth():
            raise ServiceMissing("backend: unsloth is not installed here; use the GPU image, or backend: transformers")
        say("backend: unsloth")
        # Each process writes its own, and none reads what an image with another version has left.
        generated = scratch / f"unsloth-{rank()}"
        shutil.rmtree(generated, ignore_errors=True)
        os.environ["UNSLOTH_COMPILE_LOCATION"] = str(generated)
    backend: Backend = importlib.import_module(f"trainers.training.backends.{name}").open_here()
    return backend


def refuse_float16(model: Any) -> None:
    """Let a loaded model pass that is as wide as a section can ask: none asks for float16, but Unsloth makes it on a
    GPU without bfloat16, of what was to be bfloat16 and of some families (Gemma 3) that were to be float32.

    Raises:
        BadRequest: a weight of it is float16.
    """
    import torch

    if any(weight.dtype is torch.float16 for weight in model.parameters()):
        raise BadRequest(
            f"backend: unsloth trains {model.config.model_type} in float16 on a GPU without bfloat16, and the section "
            "asks for another precision; say backend: transformers, or ask for a newer GPU"
        )


def _has_unsloth() -> bool:
    return importlib.util.find_spec("unsloth") is not None


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())
