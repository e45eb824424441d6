"""The proof on 200 MB of real text: 15 kills at random instants, eight processes, five nodes: one digest."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random

import psutil
import pytest

from tests.support.corpus_landing import data_request, start_data_stage
from tests.support.ray_nodes import ray_nodes
from trainers.contract import Needs
from trainers.contract.artifacts import ArtifactStore

pytestmark = [pytest.mark.prove, pytest.mark.realdata, pytest.mark.timeout(3600)]
KILLS = 15
LONGEST_PAUSE = 4.0
"""Seconds, at most, that a kill comes after the stage has said that something is done: however busy the machine is, no
task is killed so often that it is given up."""
NODE = Needs(engine="ray", memory="1Gi")


@pytest.fixture(scope="module")
def home(testdata, tmp_path_factory):
    home = tmp_path_factory.mktemp("kills")
    (home / "landing/r1/corpus").mkdir(parents=True)
    shutil.copy(testdata / "bench" / "bench_200mb.jsonl.zst", home / "landing/r1/corpus")
    return home


def corpus(home, name, needs, disturb=lambda stage, lines: None):
    """The manifest of a new run, a process of its own."""
    shutil.rmtree(home / name, ignore_errors=True)
    request = data_request("corpus", home / "landing", shard_megabytes=16).model_copy(update={"needs": needs})
    lines = []
    with start_data_stage(request, home, name) as stage, ThreadPoolExecutor() as beside:
        beside.submit(lambda: [lines.append(line) for line in stage.stdout])
        disturb(stage, lines)
        assert stage.wait() == 0, "".join(lines)
    return ArtifactStore(home / name).find(request)


@pytest.fixture(scope="module")
def alone(home):
    return corpus(home, "alone", Needs(engine="pool"))


def kill_worker(name):
    """Kill the oldest of the processes below this one that are called so, if there is one."""

    def kill():
        workers = []
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                workers += [child] if name in " ".join(child.cmdline()) else []
        if workers:
            min(workers, key=psutil.Process.create_time).kill()
        return bool(workers)

    return kill


def kill_node(nodes):
    """Kill a node, and add one."""

    def kill():
        nodes.kill()
        nodes.add()
        return True

    return kill


def killed(home, alone, needs, *ways):
    """Corpora, one after the other, each disturbed at random instants, until there were all kills."""
    random, left, runs, repeated = Random(16), KILLS, 0, 0

    def disturb(stage, lines):
        nonlocal left
        seen = 0
        while left and stage.poll() is None:
            if seen == len(lines):
                time.sleep(0.1)
                continue
            time.sleep(random.uniform(0, LONGEST_PAUSE))
            seen = len(lines)
            left -= random.choice(ways)()

    while left:
        manifest = corpus(home, "killed", needs, disturb)
        runs, repeated = runs + 1, repeated + manifest.details.work.repeated
        assert manifest.digest == alone.digest and manifest.files == alone.files
    print(f"{KILLS} kills in {runs} runs; {repeated} tasks done again")
    assert repeated


def test_15_workers_of_a_pool_killed(home, alone):
    killed(home, alone, Needs(cpu=2, engine="pool"), kill_worker("multiprocessing.spawn"))


def test_15_workers_and_nodes_of_ray_killed(home, alone, tmp_path):
    with ray_nodes(3, tmp_path) as nodes:
        killed(home, alone, NODE, kill_worker("ray::_work"), kill_node(nodes))


def test_eight_processes(home, alone):
    manifest = corpus(home, "eight", Needs(cpu=8, memory="8Gi", engine="pool"))
    assert manifest.digest == alone.digest and manifest.files == alone.files


def test_five_nodes(home, alone, tmp_path):
    with ray_nodes(5, tmp_path):
        manifest = corpus(home, "five", NODE)
    assert manifest.digest == alone.digest and manifest.files == alone.files
    assert manifest.details.work.nodes > 1
