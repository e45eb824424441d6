"""Two training processes, killed together again and again, end with the bits of two that were not: DDP and FSDP2."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.prove, pytest.mark.timeout(3600)]
KILLS = 5
CHANGES = {"batch_size": 4, "checkpoint_steps": 1, "max_steps": 24}


@pytest.mark.parametrize("kind", ({}, {"shard_weights": True}), ids=("DDP", "FSDP2"))
@pytest.mark.parametrize("stage", ("cpt", "rlhf"))
def test_five_kills_of_both_processes_end_with_the_same_bits(micro, stage, kind):
    request = micro.request(stage, **CHANGES, **kind)
    rng, lost = random.Random(f"{stage}{kind}"), 0
    for _ in range(KILLS):
        process = micro.start(request, 2)
        try:
            await_checkpoint(micro, request, process, newest(micro, request) + rng.randint(1, 3))
            time.sleep(rng.random() / 5)
            lost += process.poll() is None
        finally:
            kill_all(process)
    assert lost == KILLS, "each kill met a training under way"
    output, _ = (process := micro.start(request, 2)).communicate()
    assert process.returncode == 0, output
    manifest = micro.store.find(request)
    assert manifest.attempts[-1].resumed_from_step
    again = micro.request(stage, **CHANGES, **kind).model_copy(update={"model": "straight"})
    output, _ = (process := micro.start(again, 2)).communicate()
    assert process.returncode == 0, output
    expected = micro.store.find(again)
    weights = {file.path: file.sha256 for file in expected.files}
    assert {file.path: file.sha256 for file in manifest.files} == weights


def kill_all(process) -> None:
    """The launcher and its workers, which torch puts into sessions of their own."""
    if process.poll() is None:
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in (process.pid, *map(int, workers)):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def newest(micro, request) -> int:
    folder = micro.store.beside(request).scratch / "checkpoints"
    return max((int(path.name.removeprefix("step-")) for path in folder.glob("step-*")), default=0)


def await_checkpoint(micro, request, process, step) -> None:
    """However slow the machine is; a training that stands still is ended by the test's own limit."""
    while newest(micro, request) < step:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
