"""Processes: any number gives the same bytes; a killed one is replaced, and none outlives its parent."""

import json
import os
import signal
import time
from dataclasses import replace

import psutil
import pytest

from tests.support.corpus_landing import data_request, start_data_stage, write_jsonl
from tests.trainers.corpus.test_stage import rows
from trainers.contract import DoesNotFit, Needs
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.data import CorpusSection
from trainers.corpus.chain import clean_task
from trainers.corpus.pool import Pool
from trainers.corpus.tasks import Context
from trainers.runner.stage import run_stage
from trainers.text import read, unpack
from trainers.text.read import Block


def tasks(folder, count, documents=20):
    for number in range(count):
        lines = "".join(json.dumps(row) + "\n" for row in rows(documents)).encode()
        yield clean_task(Block(number, "a.jsonl", 1 + documents * number, lines, "lines"), folder / str(number))


def context(folder):
    """Of the default section."""
    return Context(CorpusSection(), 16, (), (), folder / "work", folder / "out", 1 << 28, "")


def children(of):
    return [child for child in psutil.Process(of).children() if "resource_tracker" not in " ".join(child.cmdline())]


@pytest.fixture
def started():
    """Says which processes started since the test began: what an earlier test left running is not the pool's."""
    before = set(children(os.getpid()))
    return lambda: [child.cmdline() for child in children(os.getpid()) if child not in before]


def test_a_killed_worker_is_replaced_within_seconds(tmp_path, started):
    warnings = []
    with Pool(context(tmp_path), 2, warnings.append) as pool:
        done = []
        for task, _ in pool.run(tasks(tmp_path, 12)):
            if not done:
                os.kill(pool._workers[0].process.pid, signal.SIGKILL)
                killed = time.monotonic()
            done.append(int(task.path.name))
    assert sorted(done) == list(range(12))
    assert time.monotonic() - killed < 10
    assert started() == []
    assert len(warnings) <= 1


def test_a_worker_does_not_grow_with_the_blocks_it_cleaned(tmp_path):
    shared, resident = context(tmp_path), psutil.Process().memory_info
    sizes = []
    for task in tasks(tmp_path, 24, documents=400):
        task.work(shared, task.path)
        sizes.append(resident().rss)
    assert max(sizes[12:]) - max(sizes[6:12]) < 2 * task.size < 1e6


def die(context, path):
    """As a process does that runs out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(context, path):
    """Have a bug."""
    raise ValueError("a bug")


def test_a_block_that_always_kills_its_worker_fails_the_stage(tmp_path, started):
    warnings = []
    with (
        pytest.raises(DoesNotFit, match="died 3 times"),
        Pool(context(tmp_path), 1, warnings.append) as pool,
    ):
        list(pool.run(replace(task, work=die) for task in tasks(tmp_path, 2)))
    assert len(warnings) == 2 and "exit -9" in warnings[0]
    assert started() == []


def test_an_error_in_a_worker_is_the_parents(tmp_path):
    with (
        pytest.raises(RuntimeError, match=r"block 0 \(a.jsonl from line 1\): a bug"),
        Pool(context(tmp_path), 1, print) as pool,
    ):
        list(pool.run(replace(task, work=fail) for task in tasks(tmp_path, 2)))


@pytest.mark.slow
def test_kill_9_and_run_again_gives_the_same_bytes_and_repeats_at_most_a_block_per_worker(tmp_path):
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", rows(6000))
    small_blocks = (
        "from trainers.corpus import chain; from trainers.text import read, unpack; "
        "chain.BLOCK_BYTES = read.BLOCK_BYTES = 200_000; unpack.CHUNK = 50_000"
    )
    request = data_request("corpus", tmp_path / "landing").model_copy(update={"needs": Needs(cpu=2)})
    undisturbed = start_data_stage(request, tmp_path, "one", small_blocks)
    blocks = undisturbed.communicate()[0].count("[corpus] cleaned")
    assert undisturbed.returncode == 0 and blocks >= 8
    victim = start_data_stage(request, tmp_path, "two", small_blocks)
    finished = 0
    while finished < 2:
        finished += "cleaned" in victim.stdout.readline()
    workers = children(victim.pid)
    victim.kill()
    victim.wait()
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(worker.pid) and worker.status() != "zombie" for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)
    again = start_data_stage(request, tmp_path, "two", small_blocks)
    output = again.communicate()[0]
    assert again.returncode == 0
    assert output.count("[corpus] cleaned") <= blocks - finished
    manifests = [ArtifactStore(tmp_path / home).find(request) for home in ("one", "two")]
    assert manifests[0].digest == manifests[1].digest


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_digest(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(unpack, "CHUNK", 10_000)
    monkeypatch.setattr("trainers.corpus.chain.BLOCK_BYTES", 20_000)
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", rows(400))
    digests = set()
    for cpu in (1, 2, 4):
        request = data_request("corpus", tmp_path / "landing").model_copy(update={"needs": Needs(cpu=cpu)})
        digests.add(run_stage(request, ArtifactStore(tmp_path / str(cpu)), tmp_path / "landing").digest)
    assert len(digests) == 1
