"""The most memory of a process, in bytes on every system."""

import resource
import sys

import pytest

from trainers.runner import host_memory
from trainers.runner.host_memory import HostMemory, most_resident, peak_bytes


@pytest.mark.parametrize(("system", "unit"), (("linux", 1024), ("darwin", 1)))
def test_getrusage_counts_in_kb_but_for_macos(monkeypatch, tmp_path, system, unit):
    counted = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(host_memory, "_PROCESS", tmp_path / "no /proc")
    assert counted * unit <= peak_bytes() == most_resident(resource.RUSAGE_SELF) <= counted * unit * 1.1


def test_a_phase_has_its_own_peak():
    memory = HostMemory()
    memory.phase_ended("before")
    assert len(b"1" * (64 << 20)) == 64 << 20
    memory.phase_ended("taking")
    memory.phase_ended("after")
    assert memory.peaks["taking"] > memory.peaks["after"] + (32 << 20)
