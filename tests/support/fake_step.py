"""One step of a model on a GPU's number types, on tensors without memory, and what torch's own tracker says it holds.

The model is transformers' from its config, the adapters are peft's by our settings, the loss is TRL's in chunks, the
layers are checkpointed and computed in bfloat16 (float32 where the section says so): as `rows_trainer` sets them up
where there is a GPU. Nothing is computed (FakeTensorMode), so a 7B takes seconds.
"""

from typing import Any

import torch
from peft import get_peft_model
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker, _MemRefType
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AutoModelForCausalLM
from trl.trainer.sft_trainer import _patch_chunked_ce_lm_head

from trainers.contract.recipe import CptSection
from trainers.training.backends.transformers import lora_config, with_whole_head


class _NoHook:
    """In the place of a gradient's hook, which the tracker would put on frozen weights too."""

    def remove(self) -> None: ...


class _OfTheWhole(MemTracker):
    """Without the peak of each module, among all of which it would look at every operation: a 7B would take hours."""

    def _update_peak_stats(self, peak_state: Any) -> None:
        modules, self.memory_tracking = self.memory_tracking, WeakIdKeyDictionary()
        super()._update_peak_stats(peak_state)
        self.memory_tracking = modules


def held_by_a_step(config: Any, section: CptSection, packed: bool = False) -> dict[str, int]:
    """Bytes at the peak of a step whose gradients are kept from a micro-batch before, by the tracker's categories."""
    rows, length = section.batch_size, section.max_length
    with torch.device("meta"):
        dtype = torch.float32 if section.lora is None or section.precision == "float32" else torch.bfloat16
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=section.attention)
        base = model
        if section.lora is not None:
            model = with_whole_head(get_peft_model(model, lora_config(section, model)))
    before = FakeTensor.__index__  # of the number of chunks, which follows from the labels' values
    FakeTensor.__index__ = lambda self: rows * length  # type: ignore[method-assign]
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            _give_memory(model)
            _patch_chunked_ce_lm_head(base, chunk_size=256)
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            if section.lora is not None:
                model.enable_input_require_grads()
            return _tracked(model.train(), rows, length, packed, autocast=section.precision != "float32")
    finally:
        FakeTensor.__index__ = before  # type: ignore[method-assign]


def _give_memory(model: Any) -> None:
    """Weights of the meta device as fake ones of a real device; shared ones stay shared, what learns is float32."""
    kept: dict[torch.nn.Parameter, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None and weight not in kept:
                dtype = torch.float32 if weight.requires_grad else weight.dtype
                empty = torch.empty(weight.shape, dtype=dtype)
                kept[weight] = torch.nn.Parameter(empty, requires_grad=weight.requires_grad)
            module._parameters[name] = None if weight is None else kept[weight]
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else torch.empty(buffer.shape, dtype=buffer.dtype)


def _tracked(model: Any, rows: int, length: int, packed: bool, autocast: bool) -> dict[str, int]:
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learning, fused=True)
    for weight in learning:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    tracker = _OfTheWhole()
    tracker._param_to_grad_hook_handles.update(
        {weight: (_NoHook(), _NoHook()) for weight in model.parameters() if not weight.requires_grad}
    )
    tracker.track_external(model, optimizer)
    for weight in learning:
        tracker._update_and_maybe_create_winfos(weight.grad, _MemRefType.GRAD)
    ids = torch.ones(rows, length, dtype=torch.long)
    more = {"position_ids": torch.zeros(rows, length, dtype=torch.long)} if packed else {}
    with tracker:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = model(input_ids=ids, labels=ids, **more).loss
        loss.backward()
    (peak,) = tracker.get_tracker_snapshot("peak").values()
    return {getattr(category, "value", str(category)): size for category, size in peak.items()}
