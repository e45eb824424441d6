"""Model backends behind one small interface: transformers + peft, and unsloth where there is a GPU.

A backend loads a model to train and puts adapters on it; TRL trains whichever it was. `open_backend` must be called
before trl or transformers are imported: unsloth replaces parts of both while they load.
"""

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any, Protocol

from trainers.contract import BadRequest, ServiceMissing
from trainers.contract.recipe import TrainingSection


class Backend(Protocol):
    """What a training stage asks of a backend."""

    name: str

    def load(self, folder: Path, section: TrainingSection, seed: int) -> Any:
        """The model in `folder`, ready to train with the section's method: adapters are on it where it names some."""

    def load_reward_model(self, folder: Path, section: TrainingSection, seed: int) -> Any:
        """As `load`, with one number as output in place of the next token: a reward model."""


def open_backend(section: TrainingSection) -> Backend:
    """The section's backend; `auto` is unsloth on one GPU where it is installed, else transformers.

    Raises:
        BadRequest: unsloth or 4-bit weights were asked for, but there is no GPU.
        ServiceMissing: unsloth was asked for, but is not installed.
    """
    name = section.backend
    if section.method == "qlora" and not _has_gpu():
        raise BadRequest("method: qlora needs a GPU (bitsandbytes' 4-bit kernels); say method: lora here")
    if name == "auto":
        alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
        name = "unsloth" if alone and _has_unsloth() and _has_gpu() else "transformers"
    elif name == "unsloth":
        if not _has_gpu():
            raise BadRequest("backend: unsloth needs a GPU and there is none here; say backend: auto or transformers")
        if not _has_unsloth():
            raise ServiceMissing("backend: unsloth is not installed here; use the GPU image, or backend: transformers")
    backend: Backend = importlib.import_module(f"trainers.training.backends.{name}").open_here()
    return backend


def _has_unsloth() -> bool:
    return importlib.util.find_spec("unsloth") is not None


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())
