"""`python -m trainers` with FSDP2 switched on over CPU processes, where accelerate leaves it off (accelerate/state.py).

Only the switch is set: plugin, wrapping, sharding, checkpoints and gathering are accelerate's and torch's own.
"""

import runpy
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

_initialise = AcceleratorState.__init__


def with_fsdp(self: AcceleratorState, *arguments: Any, fsdp_plugin: Any = None, **named: Any) -> None:
    _initialise(self, *arguments, fsdp_plugin=fsdp_plugin, **named)
    if fsdp_plugin is not None and self.distributed_type is DistributedType.MULTI_CPU:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP  # as accelerate's last line there


if __name__ == "__main__":
    AcceleratorState.__init__ = with_fsdp  # type: ignore[method-assign]
    runpy.run_module("trainers", run_name="__main__", alter_sys=True)
