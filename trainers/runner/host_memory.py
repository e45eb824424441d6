"""The most host memory that a process held, and all of them in each phase of a stage (Linux: /proc/self)."""

import os
import resource
import sys
from pathlib import Path

from trainers.runner.ranks import sum_over_all

_PROCESS = Path("/proc/self")
_FORGET_PEAK = "5"
"""Written to clear_refs, it sets the peak back to what is resident now (proc(5))."""


class HostMemory:
    """Peaks by phase, in bytes of resident memory; none on systems without /proc."""

    def __init__(self) -> None:
        self.peaks: dict[str, float] = {}

    def phase_ended(self, phase: str, everywhere: bool = True) -> None:
        """Keep the peak since the last phase; of a phase that is gone through again, the higher one.

        `everywhere`: over all processes, each of which must come here; pages that they share (a weight file that is
        mapped) count in each.
        """
        peak = _peak_until_now()
        peak = sum_over_all(peak) if everywhere else peak
        if peak:
            self.peaks[phase] = max(self.peaks.get(phase, 0.0), peak)


def peak_bytes() -> int:
    """The most memory this process had; getrusage would count what its parent had when it was started."""
    status = _PROCESS / "status"
    if not status.exists():  # not Linux
        return most_resident(resource.RUSAGE_SELF)
    lines = status.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def most_resident(who: int) -> int:
    """Bytes of the most memory that getrusage knows of this process, or of its children (`resource.RUSAGE_*`)."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2) counts in bytes there, in kB everywhere else
    return resource.getrusage(who).ru_maxrss * unit


def _peak_until_now() -> float:
    """Bytes since this was last asked; 0 where the system does not say it."""
    if not os.access(_PROCESS / "clear_refs", os.W_OK):
        return 0.0
    peak = peak_bytes()
    (_PROCESS / "clear_refs").write_text(_FORGET_PEAK)
    return float(peak)
