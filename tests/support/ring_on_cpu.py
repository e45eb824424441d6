"""`python -m trainers` with FSDP2 and ring attention over CPU processes: torch has the ring for its GPU kernels only.

The ring itself, its exchange of keys and values, its balance, and how its parts are put together are torch's own; the
kernel in it is torch's of a CPU, which the tables of DTensor do not name. accelerate shares the rows as on GPUs.
"""

import runpy
from collections.abc import Callable
from typing import Any

import torch
from accelerate.state import AcceleratorState
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor.experimental._context_parallel import _attention as ring

from tests.support.fsdp_on_cpu import with_fsdp
from trainers.training import arguments

_ATEN = torch.ops.aten
_FORWARD = _ATEN._scaled_dot_product_flash_attention_for_cpu.default
_BACKWARD = _ATEN._scaled_dot_product_flash_attention_for_cpu_backward.default
_TOKENS = 2
"""Of the dimensions (rows, heads, tokens, width)."""


def _around(turn: Callable[..., Any], names: tuple[str, ...], **more: Any) -> Callable[..., Any]:
    """A handler of DTensors, for an operator whose first arguments have these names."""

    def handle(operator: Any, values: tuple[Any, ...], named: dict[str, Any]) -> tuple[DTensor, ...]:
        given = {**dict(zip(names, values, strict=False)), **named, **more}
        assert given.pop("attn_mask", None) is None, "a ring has no masks"
        mesh = given["query"].device_mesh
        local = {name: value.to_local() if isinstance(value, DTensor) else value for name, value in given.items()}
        parts = turn(mesh.get_group(), _TOKENS, operator, **local)
        return tuple(DTensor.from_local(part, mesh, [Shard(_TOKENS)], run_check=False) for part in parts)

    return handle


def arm() -> None:
    """Let CPU processes share rows."""
    forward = ("query", "key", "value", "dropout_p", "is_causal")
    backward = ("grad_out", "query", "key", "value", "out", "logsumexp", "dropout_p", "is_causal")
    ring.custom_ops[_FORWARD] = _around(ring._templated_ring_attention, forward)
    ring.custom_ops[_BACKWARD] = _around(ring._templated_ring_attention_backward, backward, grad_out_name="grad_out")
    arguments._require_ring_attention = lambda on_gpu: None
    AcceleratorState.__init__ = with_fsdp  # type: ignore[method-assign]


if __name__ == "__main__":
    arm()
    runpy.run_module("trainers", run_name="__main__", alter_sys=True)
