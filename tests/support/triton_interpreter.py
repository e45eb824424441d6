"""Triton's interpreter without what it does again and again for nothing: the same figures in less time.

At each launch of a kernel it looks up the members of `triton.language`; at each load, cast and splat it makes a table
of dtypes; each integer sum and product is computed a second time to see whether it overflows, and the answer dropped
(its builder is not a debug one); two blocks of one shape are compared dimension by dimension to broadcast neither.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any


def hasten() -> None:
    """Change the interpreter of this process, which must have been asked for (TRITON_INTERPRET) before the import."""
    interpreter: Any = import_module("triton.runtime.interpreter")
    builder, semantic = interpreter.interpreter_builder, interpreter.interpreter_semantic
    assert not builder.options.debug, "a debug builder does say what overflows"
    builder.options = replace(builder.options, sanitize_overflow=False)
    interpreter._get_np_dtype = _remembered(interpreter._get_np_dtype, lambda dtype: dtype.name)
    is_builtin = interpreter.tl.core.is_builtin
    builtins = _remembered(lambda of: [pair for pair in inspect.getmembers(of) if is_builtin(pair[1])], id)
    broadcast = semantic.broadcast_impl_value

    def patch_builtin(package: Any, builder: Any, scope: Any) -> None:
        for name, member in builtins(package):
            interpreter._patch_attr(package, name, member, builder, scope)

    def broadcast_where_needed(left: Any, right: Any) -> Any:
        kinds = left.type, right.type
        if all(kind.is_block() for kind in kinds) and kinds[0].shape.values == kinds[1].shape.values:
            return left, right
        return broadcast(left, right)

    interpreter._patch_builtin = patch_builtin
    semantic.broadcast_impl_value = broadcast_where_needed


def _remembered(function: Callable[[Any], Any], by: Callable[[Any], Any]) -> Callable[[Any], Any]:
    known: dict[Any, Any] = {}

    def remembered(argument: Any) -> Any:
        key = by(argument)
        if key not in known:
            known[key] = function(argument)
        return known[key]

    return remembered
