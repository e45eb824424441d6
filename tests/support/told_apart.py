"""`python -m trainers` on CPU processes whose device is told apart from their host, as a GPU is, though memory is one.

accelerate calls the device of one of several CPU processes "cpu:0"; the host is "cpu". What was brought to the one or
made on it stays there, with all that is computed from it; an operation on tensors of both is refused as torch refuses
it of a GPU; and which forward passes ran where is noted, phase by phase. FSDP2 comes on where it is asked for.
"""

import importlib
import json
import os
import runpy
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import fsdp_utils
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM

from tests.support.fsdp_on_cpu import with_fsdp
from trainers.runner.host_memory import HostMemory

NOTES = "TOLD_APART_NOTES"
"""The environment's name for the folder that gets each process' notes."""
FAULT = "TOLD_APART_FAULT"
"""And for the fault to plant: a function of this file, by name."""
DEVICE, HOST = torch.device("cpu", 0), torch.device("cpu")
_MIXES = ("copy_", "_to_copy", "index.", "index_put", "set_", "_copy_from")
"""Operations that a GPU takes with tensors of both places."""


def is_there(tensor: torch.Tensor) -> bool:
    """True for a tensor on the device."""
    if is_traceable_wrapper_subclass(tensor):
        return is_there(getattr(tensor, tensor.__tensor_flatten__()[0][0]))
    return tensor.device.type == "cpu" and getattr(tensor.untyped_storage(), "is_there", False)


def _put(tensor: torch.Tensor, there: bool) -> None:
    if tensor.device.type == "cpu" and not is_traceable_wrapper_subclass(tensor):
        tensor.untyped_storage().is_there = there  # type: ignore[attr-defined]


class Places(TorchDispatchMode):
    """Where each tensor lies, through all that is computed, backwards too."""

    def __init__(self) -> None:
        super().__init__()
        self.forward: Counter[str] = Counter()
        """Look-ups of embeddings, by "device" or "host": one to a forward pass."""
        self.everywhere = False
        """While "cpu" means the device: accelerate and torch name it by its type alone where they share weights out."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See TorchDispatchMode."""
        kwargs = kwargs or {}
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        if any(map(is_traceable_wrapper_subclass, given)):
            return NotImplemented
        known = [one for one in given if one.device.type == "cpu"]
        there = any(map(is_there, known))
        name = str(func).removeprefix("aten.")
        strays = [tuple(one.shape) for one in known if one.dim() and not is_there(one)]
        if there and strays and not name.startswith(_MIXES):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, the training's and the "
                f"host's: {func} got of the host tensors of {strays}"
            )
        if name.startswith("embedding."):
            self.forward["device" if there else "host"] += 1
        made = func(*args, **kwargs)
        if (device := kwargs.get("device")) is not None:
            there = self.means_there(device)
        before = {id(one.untyped_storage()) for one in known}
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor) and id(one.untyped_storage()) not in before:
                _put(one, there)
        return made

    def means_there(self, device: Any) -> bool:
        """True where code that names this device means the training's."""
        device = torch.device(device)
        return device.type == "cpu" and (device.index is not None or self.everywhere)


class Asked(TorchFunctionMode):
    """What a tensor says of its device, and ways between places that are none for a CPU."""

    def __init__(self, places: Places):
        super().__init__()
        self._places = places

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See TorchFunctionMode."""
        kwargs = kwargs or {}
        if func == torch.Tensor.device.__get__:
            device = func(*args, **kwargs)
            return DEVICE if device.type == "cpu" and is_there(args[0]) else device
        if func in (torch.Tensor.to, torch.Tensor.cpu):
            return self._moved(func, args, kwargs)
        made = func(*args, **kwargs)
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            _put(made, self._places.means_there(kwargs["device"]))
        return made

    def _moved(self, func: Any, args: Any, kwargs: Any) -> Any:
        tensor, *rest = args
        if is_traceable_wrapper_subclass(tensor) or tensor.device.type == "meta":
            return func(*args, **kwargs)
        there = is_there(tensor)
        if func is torch.Tensor.cpu:
            wanted, dtype = False, None
        elif rest and isinstance(rest[0], torch.Tensor):
            wanted, dtype = is_there(rest[0]), rest[0].dtype
        else:
            device, dtype, *_ = torch._C._nn._parse_to(*rest, **{k: v for k, v in kwargs.items() if k != "copy"})
            if device is not None and device.type != "cpu":
                return func(*args, **kwargs)
            wanted = there if device is None else self._places.means_there(device)
        if wanted == there:
            return tensor.to(dtype or tensor.dtype, copy=bool(kwargs.get("copy")))
        moved = tensor.clone().to(dtype or tensor.dtype)
        _put(moved, wanted)
        return moved


def _noting(places: Places, path: Path, phase_ended: Callable[..., None]) -> Callable[..., None]:
    def ended(self: HostMemory, phase: str, *arguments: Any, **named: Any) -> None:
        phase_ended(self, phase, *arguments, **named)
        note(places, path, phase)

    return ended


def note(places: Places, path: Path, phase: str) -> None:
    """A line of what ran where in the phase that ends."""
    with path.open("a") as notes:
        notes.write(json.dumps({"phase": phase, **places.forward}) + "\n")
    places.forward.clear()


def notes_in(folder: Path, rank: int) -> dict[str, dict[str, int]]:
    """Phase -> forward passes by place, of one process."""
    rows = [json.loads(line) for line in (folder / f"rank-{rank}.jsonl").read_text().splitlines()]
    return {row.pop("phase"): row for row in rows}


def as_with_a_gpu() -> None:
    """The end of a stage sees a GPU: where the product asks for `device_map`, a model is brought to the device."""
    from trainers.training import result

    pretended = SimpleNamespace(is_available=lambda: True, max_memory_allocated=lambda: 0)
    result.torch = SimpleNamespace(cuda=pretended)  # type: ignore[assignment]
    load = AutoModelForCausalLM.from_pretrained

    def placed(*arguments: Any, device_map: str | None = None, **named: Any) -> Any:
        model = load(*arguments, **named)
        return model.to(DEVICE) if device_map == "auto" else model

    AutoModelForCausalLM.from_pretrained = placed


def reference_before_sharding() -> None:
    """Fault: TRL computes the reference's figures before FSDP has brought the model to the device."""
    from trainers.training.alignment import algorithms

    algorithms.is_sharded = lambda section: False  # type: ignore[assignment]


def accuracy_before_sharding() -> None:
    """Fault: the accuracy before is measured as soon as there is a trainer."""
    from trainers.training.alignment.accuracy import AccuracyBefore
    from trainers.training.alignment.algorithms import DpoTrainer

    measure, add = AccuracyBefore.on_train_begin, DpoTrainer.add_callback

    def added(trainer: Any, callback: Any) -> None:
        if isinstance(callback, AccuracyBefore):
            measure(callback, None, None, None, model=trainer.model)  # type: ignore[arg-type]
        add(trainer, callback)

    DpoTrainer.add_callback = added


def end_on_the_host() -> None:
    """Fault: what is published is put together and measured where it was read."""
    from trainers.training import result

    load = AutoModelForCausalLM.from_pretrained
    whole = result._whole_model

    def on_host(*arguments: Any, **named: Any) -> Any:
        AutoModelForCausalLM.from_pretrained = lambda *a, device_map=None, **n: load(*a, **n)
        return whole(*arguments, **named)

    result._whole_model = on_host


@contextmanager
def named_by_type(places: Places) -> Any:
    """Inside, "cpu" is the device."""
    places.everywhere = True
    yield
    places.everywhere = False


def _told_apart(places: Places) -> None:
    share_out = fsdp_utils.fsdp2_load_full_state_dict

    def shared_out(*arguments: Any, **named: Any) -> Any:
        with named_by_type(places):
            return share_out(*arguments, **named)

    fsdp_utils.fsdp2_load_full_state_dict = shared_out
    fully = importlib.import_module("torch.distributed.fsdp._fully_shard._fully_shard")
    fully._get_device_from_mesh = lambda mesh: DEVICE
    as_with_a_gpu()


if __name__ == "__main__":
    folder = Path(os.environ[NOTES])
    folder.mkdir(parents=True, exist_ok=True)
    places, path = Places(), folder / f"rank-{os.environ['RANK']}.jsonl"
    AcceleratorState.__init__ = with_fsdp  # type: ignore[method-assign]
    HostMemory.phase_ended = _noting(places, path, HostMemory.phase_ended)  # type: ignore[method-assign]
    _told_apart(places)
    if fault := os.environ.get(FAULT):
        globals()[fault]()
    with Asked(places), places:
        runpy.run_module("trainers", run_name="__main__", alter_sys=True)
