"""`python -m trainers` whose processes each note what they took, phase by phase: memory of the host, and of /tmp.

Memory is the proportional one (smaps_rollup: a page that two processes share is half of each one's), looked at again
and again by a thread. FSDP2 comes on where it is asked for (fsdp_on_cpu.py).
"""

import json
import os
import re
import runpy
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState
from torch.distributed.checkpoint import state_dict

from tests.support.fsdp_on_cpu import with_fsdp
from trainers.runner.host_memory import HostMemory
from trainers.training.backends.transformers import TransformersBackend

NOTES = "WATCHED_RANKS"
"""The environment's name for the folder that gets each process' notes, and its /tmp."""
_SECONDS = 0.02


@dataclass
class Took:
    """What one process took in one phase, in bytes."""

    phase: str
    rank: int
    began: int
    """Memory that was held when the phase began."""
    peak: int
    tmp: int
    """The most that lay in its /tmp."""
    gathered: int = 0
    """The largest model that was put together here from what is shared out."""


class Watch(threading.Thread):
    """Looks at this process until it ends."""

    def __init__(self, folder: Path, rank: int):
        super().__init__(daemon=True)
        self._rank, self._tmp, self._notes = rank, folder / f"tmp-{rank}", folder / f"rank-{rank}.jsonl"
        self._tmp.mkdir(parents=True)
        tempfile.tempdir = os.environ["TMPDIR"] = str(self._tmp)
        self._lock = threading.Lock()
        self._begin("imports")

    def run(self) -> None:
        """See threading.Thread."""
        while True:
            with self._lock:
                self._took.peak = max(self._took.peak, proportional_bytes())
                self._took.tmp = max(self._took.tmp, bytes_in(self._tmp))
            threading.Event().wait(_SECONDS)

    def ended(self, phase: str) -> None:
        """Write a phase down, and begin the next one."""
        with self._lock:
            self._took.phase = phase
            with self._notes.open("a") as notes:
                notes.write(json.dumps(asdict(self._took)) + "\n")
            self._begin("after")

    def gathering(self, gather: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """torch's function that gathers a model's state, with what it gave noted."""

        def gathered(*arguments: Any, **named: Any) -> dict[str, Any]:
            state = gather(*arguments, **named)
            size = sum(weight.numel() * weight.element_size() for weight in state.values())
            with self._lock:
                self._took.gathered = max(self._took.gathered, size)
            return state

        return gathered

    def loading(self, load: Callable[..., Any]) -> Callable[..., Any]:
        """A backend's function that loads a model, which ends the imports."""

        def loaded(*arguments: Any, **named: Any) -> Any:
            self.ended("imports")
            return load(*arguments, **named)

        return loaded

    def _begin(self, phase: str) -> None:
        held = proportional_bytes()
        self._took = Took(phase, self._rank, held, held, bytes_in(self._tmp))


def proportional_bytes() -> int:
    """Memory of this process, pages that it shares with others in parts."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    size = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    assert size is not None
    return int(size[1]) * 1024


def bytes_in(folder: Path) -> int:
    """Of all files below, as far as they are still there."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except FileNotFoundError:
                continue
    return total


def notes_in(folder: Path) -> list[Took]:
    """What the processes have written down."""
    lines = [line for path in sorted(folder.glob("rank-*.jsonl")) for line in path.read_text().splitlines()]
    return [Took(**json.loads(line)) for line in lines]


def _noting(watch: Watch, phase_ended: Callable[..., None]) -> Callable[..., None]:
    def ended(self: HostMemory, phase: str, *arguments: Any, **named: Any) -> None:
        phase_ended(self, phase, *arguments, **named)
        watch.ended(phase)

    return ended


if __name__ == "__main__":
    watch = Watch(Path(os.environ[NOTES]), rank=int(os.environ["RANK"]))
    AcceleratorState.__init__ = with_fsdp  # type: ignore[method-assign]
    state_dict.get_model_state_dict = watch.gathering(state_dict.get_model_state_dict)
    TransformersBackend.load = watch.loading(TransformersBackend.load)  # type: ignore[method-assign]
    HostMemory.phase_ended = _noting(watch, HostMemory.phase_ended)  # type: ignore[method-assign]
    watch.start()
    try:
        runpy.run_module("trainers", run_name="__main__", alter_sys=True)
    finally:
        if os.environ["RANK"] != "0":  # a follower's end comes without a word
            watch.ended("publishing")
