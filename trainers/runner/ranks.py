"""Several processes, one stage (torchrun): rank 0 leads - it writes, reports and decides - and the others train too.

Every process runs the stage's own function. Followers hold no lock, publish nothing and are silent; what has to be
the same everywhere (prepared data, the checkpoint to resume from, when to save and stop) is the leader's word.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

_PATIENCE = timedelta(hours=6)
"""How long followers wait while the leader prepares data."""


def rank() -> int:
    """This process among all; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Processes in all."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_leader() -> bool:
    """True for rank 0, and where there is one process only."""
    return rank() == 0


def wait_for_all() -> None:
    """Return when every process has come here."""
    if world_size() > 1:
        _state().wait_for_everyone()


@contextmanager
def leader_first() -> Iterator[None]:
    """The leader runs the block, then the followers do (and find what it has written)."""
    if not is_leader():
        wait_for_all()
    yield
    if is_leader():
        wait_for_all()


def from_leader(value: Any) -> Any:
    """The leader's value, in every process (pickled)."""
    if world_size() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    _state()
    return broadcast_object_list([value])[0]


def any_of(*flags: bool) -> tuple[bool, ...]:
    """Each flag: true where it is true in any process."""
    if world_size() == 1:
        return flags
    import torch
    import torch.distributed

    values = torch.tensor([float(flag) for flag in flags], device=_state().device)
    torch.distributed.all_reduce(values, op=torch.distributed.ReduceOp.MAX)
    return tuple(bool(value) for value in values)


def sum_over_all(value: float) -> float:
    """The sum of every process's value."""
    if world_size() == 1:
        return value
    import torch
    import torch.distributed

    total = torch.tensor(value, device=_state().device)
    torch.distributed.all_reduce(total)
    return float(total)


def _state() -> Any:
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)


def has_lost_another(error: BaseException) -> bool:
    """True where the error only says that another process of this training is gone; that one knows why."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    message = re.search("connection (closed|reset|refused)|broken pipe|gloo", str(error), re.IGNORECASE)
    return world_size() > 1 and "RuntimeError" in kinds and ("DistError" in kinds or message is not None)
