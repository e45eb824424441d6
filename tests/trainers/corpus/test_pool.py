"""Processes: any number gives the same bytes; a killed one is replaced, and none outlives its parent."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.support.corpus_landing import data_request, write_jsonl
from tests.trainers.corpus.test_stage import rows
from trainers.__main__ import main
from trainers.contract import DoesNotFit, Needs
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.data import CorpusSection
from trainers.corpus.clean import Cleaner
from trainers.corpus.pool import Pool, Task
from trainers.runner.stage import run_stage
from trainers.text import read, unpack
from trainers.text.read import Block


def tasks(folder, count, documents=20):
    for number in range(count):
        lines = "".join(json.dumps(row) + "\n" for row in rows(documents)).encode()
        yield Task(Block(number, "a.jsonl", 1 + documents * number, lines, "lines"), folder / str(number))


def children(of):
    return [child for child in psutil.Process(of).children() if "resource_tracker" not in " ".join(child.cmdline())]


@pytest.fixture
def started():
    """Says which processes started since the test began: what an earlier test left running is not the pool's."""
    before = set(children(os.getpid()))
    return lambda: [child.cmdline() for child in children(os.getpid()) if child not in before]


def test_a_killed_worker_is_replaced_within_seconds(tmp_path, started):
    warnings = []
    with Pool(Cleaner(CorpusSection(), 16), 2, warnings.append) as pool:
        done = []
        for task, _ in pool.run(tasks(tmp_path, 12)):
            if not done:
                os.kill(pool._workers[0].process.pid, signal.SIGKILL)
                killed = time.monotonic()
            done.append(task.block.number)
    assert sorted(done) == list(range(12))
    assert time.monotonic() - killed < 10
    assert started() == []
    assert len(warnings) <= 1


def test_a_worker_does_not_grow_with_the_blocks_it_cleaned(tmp_path):
    cleaner, resident = Cleaner(CorpusSection(), 16), psutil.Process().memory_info
    sizes = []
    for task in tasks(tmp_path, 24, documents=400):
        task.run(cleaner)
        sizes.append(resident().rss)
    block = len(task.block.payload)
    assert max(sizes[12:]) - max(sizes[6:12]) < 2 * block < 1e6


class Suicidal(Cleaner):
    """Dies as a process does that runs out of memory."""

    def clean(self, block):
        os.kill(os.getpid(), signal.SIGKILL)


class Failing(Cleaner):
    """Has a bug."""

    def clean(self, block):
        raise ValueError("a bug")


def test_a_block_that_always_kills_its_worker_fails_the_stage(tmp_path, started):
    warnings = []
    with (
        pytest.raises(DoesNotFit, match="died 3 times"),
        Pool(Suicidal(CorpusSection(), 16), 1, warnings.append) as pool,
    ):
        list(pool.run(tasks(tmp_path, 2)))
    assert len(warnings) == 2 and "exit -9" in warnings[0]
    assert started() == []


def test_an_error_in_a_worker_is_the_parents(tmp_path):
    with (
        pytest.raises(RuntimeError, match="cleaning a.jsonl: a bug"),
        Pool(Failing(CorpusSection(), 16), 1, print) as pool,
    ):
        list(pool.run(tasks(tmp_path, 2)))


@pytest.mark.slow
def test_kill_9_and_run_again_gives_the_same_bytes_and_repeats_at_most_a_block_per_worker(tmp_path):
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", rows(6000))
    small_blocks = (
        "from trainers.corpus import chain; from trainers.text import read, unpack; "
        "chain.BLOCK_BYTES = read.BLOCK_BYTES = 200_000; unpack.CHUNK = 50_000"
    )
    run = f"{small_blocks}; import sys; from trainers.__main__ import main; sys.exit(main(sys.argv[1:]))"
    request = data_request("corpus", tmp_path / "landing").model_copy(update={"needs": Needs(cpu=2)})
    (tmp_path / "request.json").write_text(request.model_dump_json())

    def start(home):
        command = [sys.executable, "-c", run, "corpus", "--request", str(tmp_path / "request.json")]
        where = ["--artifacts", str(home), "--landing", str(tmp_path / "landing")]
        return subprocess.Popen([*command, *where], stdout=subprocess.PIPE, text=True)

    undisturbed = start(tmp_path / "one")
    blocks = undisturbed.communicate()[0].count("[corpus] cleaned")
    assert undisturbed.returncode == 0 and blocks >= 8
    victim = start(tmp_path / "two")
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
    again = start(tmp_path / "two")
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


def test_slices_in_any_order_then_the_stage_give_the_same_bytes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(read, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(unpack, "CHUNK", 5_000)
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", rows(200))
    request = data_request("corpus", tmp_path / "landing")
    (tmp_path / "request.json").write_text(request.model_dump_json())
    whole = run_stage(request, ArtifactStore(tmp_path / "whole"), tmp_path / "landing")
    command = ["corpus", "--request", str(tmp_path / "request.json"), "--landing", str(tmp_path / "landing")]
    command += ["--artifacts", str(tmp_path / "sliced")]
    for index in (2, 0, 1):
        assert main([*command, "--index", str(index), "--of", "3"]) == 0
    assert main([*command, "--index", "3", "--of", "3"]) == 64
    capsys.readouterr()
    assert main(command) == 0
    assert "cleaned" not in capsys.readouterr().out
    assert ArtifactStore(tmp_path / "sliced").find(request).digest == whole.digest


def test_slices_of_another_plan_are_refused(tmp_path, capsys):
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", rows(40))
    request = data_request("corpus", tmp_path / "landing")
    (tmp_path / "request.json").write_text(request.model_dump_json())
    command = ["corpus", "--request", str(tmp_path / "request.json"), "--landing", str(tmp_path / "landing")]
    command += ["--artifacts", str(tmp_path / "sliced"), "--of", "2", "--index"]
    assert main([*command, "0"]) == 0
    (mark,) = tmp_path.glob("sliced/corpus/r1/*.partial/scratch/blocks.plan.json")
    mark.write_text(json.dumps({"plan": "0" * 64}))
    assert main([*command, "1"]) == 64
    assert "work of another plan" in capsys.readouterr().err
    write_jsonl(tmp_path / "landing/r1/corpus/b.jsonl", rows(3))
    assert main([*command, "1"]) == 64
    assert "changed after the request was built" in capsys.readouterr().err
