"""Triton's interpreter without what it does again and again for nothing: the same figures in a part of the time.

It runs a kernel once for each program of the grid. Here the programs of the first axis run at once, as a further axis
of numpy's arrays, for the kernels (Unsloth's RoPE and RMSNorm) that take a program's number for nothing but offsets.
And at each launch it looks up the members of `triton.language`; at each load, cast and splat it makes a table of
dtypes; each integer sum and product is computed a second time to see whether it overflows, and the answer dropped (its
builder is not a debug one).
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

TOGETHER = (
    "_rope_embedding_QK",
    "_rope_embedding",
    "_rms_layernorm_forward",
    "_gemma_rms_layernorm_forward",
    "_rms_layernorm_backward",
)
"""Kernels over one-dimensional blocks whose control flow is the same in all programs of the first axis."""


def hasten() -> None:
    """Change the interpreter of this process, which must have been asked for (TRITON_INTERPRET) before the import."""
    interpreter: Any = import_module("triton.runtime.interpreter")
    builder = interpreter.interpreter_builder
    assert not builder.options.debug, "a debug builder does say what overflows"
    builder.options = replace(builder.options, sanitize_overflow=False)
    interpreter._get_np_dtype = _remembered(interpreter._get_np_dtype, lambda dtype: dtype.name)
    is_builtin = interpreter.tl.core.is_builtin
    builtins = _remembered(lambda of: [pair for pair in inspect.getmembers(of) if is_builtin(pair[1])], id)

    def patch_builtin(package: Any, builder: Any, scope: Any) -> None:
        for name, member in builtins(package):
            interpreter._patch_attr(package, name, member, builder, scope)

    interpreter._patch_builtin = patch_builtin
    _run_together(interpreter, builder)


def _run_together(interpreter: Any, builder: Any) -> None:
    """A scalar of all programs is a column, (programs, 1), a block of all (programs, block); others stay."""
    call, number, splat = interpreter.GridExecutor.__call__, builder.create_get_program_id, builder.create_splat
    load, store, add_up = builder.create_masked_load, builder.create_masked_store, interpreter.ReduceOps.sum
    handle = interpreter.TensorHandle
    programs: list[int] = []  # of the launch under way, where they run at once

    def launch(self: Any, *args: Any, **named: Any) -> Any:
        if self.fn.__name__ not in TOGETHER or named.get("TRAIN_W"):  # there a program loops over rows of its own
            return call(self, *args, **named)
        count, *others = self.grid
        self.grid = (1, *others)
        programs.append(count)
        try:
            return call(self, *args, **named)
        finally:
            programs.pop()

    def program_id(axis: int) -> Any:
        if axis or not programs:
            return number(axis)
        return handle(np.arange(programs[0], dtype=np.int32)[:, None], interpreter.tl.int32)

    def splat_all(kind: Any, scalar: Any) -> Any:
        if not programs or scalar.data.size == 1:
            return splat(kind, scalar)
        return handle(np.broadcast_to(scalar.data, (len(scalar.data), *kind.shape.values)), scalar.dtype.scalar)

    def alike(*handles: Any) -> list[Any]:
        arrays = np.broadcast_arrays(*(each.data for each in handles))
        return [handle(np.ascontiguousarray(array), each.dtype) for array, each in zip(arrays, handles, strict=True)]

    def load_all(pointers: Any, mask: Any, other: Any, *further: Any) -> Any:
        if programs:
            pointers, mask, *others = alike(*(each for each in (pointers, mask, other) if each is not None))
            other = others[0] if others else None
        return load(pointers, mask, other, *further)

    def store_all(pointers: Any, values: Any, mask: Any, *further: Any) -> Any:
        return store(*(alike(pointers, values, mask) if programs else (pointers, values, mask)), *further)

    def sum_all(self: Any, blocks: Any) -> Any:
        if not programs:
            return add_up(self, blocks)
        sums = np.sum(blocks.handle.data, axis=-1, keepdims=True)
        return interpreter.tl.core.tensor(handle(sums, blocks.dtype), blocks.dtype)

    interpreter.GridExecutor.__call__, interpreter.ReduceOps.sum = launch, sum_all
    builder.create_get_program_id, builder.create_splat = program_id, splat_all
    builder.create_masked_load, builder.create_masked_store = load_all, store_all


def _remembered(function: Callable[[Any], Any], by: Callable[[Any], Any]) -> Callable[[Any], Any]:
    known: dict[Any, Any] = {}

    def remembered(argument: Any) -> Any:
        key = by(argument)
        if key not in known:
            known[key] = function(argument)
        return known[key]

    return remembered
