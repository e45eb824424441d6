"""Ray on three nodes of this machine: the digest of one process, whatever is killed on the way."""

import os
import signal
import socket
from dataclasses import dataclass

import pytest

from tests.support.corpus_landing import data_request, write_jsonl
from tests.support.ray_nodes import Nodes, ray_nodes
from tests.trainers.corpus.test_join import drop
from trainers.contract import BadRequest, DoesNotFit, Interrupted, Needs
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.data import CorpusSection
from trainers.corpus.remote import Remote
from trainers.corpus.tasks import Context, Task
from trainers.runner.reporting import LeaderReporter
from trainers.runner.stage import run_stage
from trainers.text import read, unpack

pytestmark = pytest.mark.slow
NEEDS = Needs(cpu=1, memory="512Mi")
STEPS = ("clean", "hash", "join", "write")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with ray_nodes(3, tmp_path_factory.mktemp("ray")) as three:
        yield three


@dataclass
class Killer:
    """Kills a node, and adds one, when the first task of a step is done."""

    nodes: Nodes
    steps: set[str]

    def at(self, step: str) -> None:
        if step in self.steps:
            self.steps.remove(step)
            self.nodes.kill()
            self.nodes.add()


def corpus(home, name, monkeypatch, killer=None, needs=NEEDS):
    monkeypatch.setattr(read, "BLOCK_BYTES", 8_000)
    monkeypatch.setattr(unpack, "CHUNK", 2_000)
    progress = LeaderReporter.progress

    def watched(self, step, total, unit="step", figures=None):
        progress(self, step, total, unit, figures)
        if killer is not None:
            killer.at(unit.partition(":")[0])

    monkeypatch.setattr(LeaderReporter, "progress", watched)
    if not (home / "landing").exists():
        write_jsonl(home / "landing/r1/corpus/a.jsonl", drop())
    request = data_request("corpus", home / "landing", shard_megabytes=0.01, validation_share=0.1)
    before = signal.getsignal(signal.SIGTERM)
    try:
        return run_stage(request.model_copy(update={"needs": needs}), ArtifactStore(home / name), home / "landing")
    finally:
        signal.signal(signal.SIGTERM, before)


def context(folder, code):
    return Context(CorpusSection(), 16, (), (), folder / "work", folder / "out", 1 << 28, code)


def test_three_nodes_give_the_digest_of_one_process_with_a_node_killed_and_one_late(nodes, tmp_path, monkeypatch):
    alone = corpus(tmp_path, "alone", monkeypatch, needs=Needs(engine="pool"))
    killer = Killer(nodes, {"clean", "write"})
    monkeypatch.setenv("RAY_OVERRIDE_DASHBOARD_URL", "http://ray.example:8265")
    three = corpus(tmp_path, "three", monkeypatch, killer)
    assert not killer.steps
    assert three.digest == alone.digest and three.files == alone.files
    assert (alone.details.work.engine, alone.details.work.nodes) == ("process", 1)
    work = three.details.work
    assert (work.engine, work.nodes >= 2) == ("ray", True)
    assert (work.dashboard, alone.details.work.dashboard) == ("http://ray.example:8265", "")
    assert set(work.seconds) == set(STEPS) and all(peak > 0 for peak in work.peak_by_node.values())


@pytest.mark.prove
@pytest.mark.parametrize("step", STEPS)
def test_a_node_killed_in_each_step(nodes, tmp_path, monkeypatch, step):
    alone = corpus(tmp_path, "alone", monkeypatch, needs=Needs(engine="pool"))
    killer = Killer(nodes, {step})
    assert corpus(tmp_path, "killed", monkeypatch, killer).digest == alone.digest and not killer.steps


def die(context, path):
    """As a process does that runs out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_always_kills_its_worker_fails_the_stage(nodes, tmp_path):
    warnings = []
    shared = context(tmp_path, code())
    with (
        pytest.raises(DoesNotFit, match="a task that dies died 3 times"),
        Remote(shared, NEEDS, print, warnings.append) as remote,
    ):
        list(remote.run(iter([Task("a task that dies", tmp_path / "never", die)])))
    assert len(warnings) == remote.repeated == 2


def code():
    from trainers.corpus.plan import code_digest

    return code_digest()


def test_nodes_of_another_version_are_refused_at_the_start(nodes, tmp_path):
    with (
        pytest.raises(BadRequest, match="has other code of the corpus stage; give all nodes the same trainer image"),
        Remote(context(tmp_path, "0" * 64), NEEDS, print, print),
    ):
        pass


def test_a_task_that_no_node_has_the_memory_for_is_refused_at_the_start(nodes, tmp_path):
    with (
        pytest.raises(DoesNotFit, match=r"no node of the Ray cluster has a core and 64.0 GiB of memory"),
        Remote(context(tmp_path, code()), Needs(memory="64Gi"), print, print),
    ):
        pass


def test_a_head_that_is_away_for_long_is_an_interruption(tmp_path, monkeypatch):
    """What Ray would do after a minute is to end the process; test_ray_trouble.py loses a real one (prove)."""
    monkeypatch.setattr("trainers.corpus.remote._HEAD_SECONDS", 0.1)
    remote = Remote(context(tmp_path, code()), NEEDS, print, print)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        remote._head = nobody.getsockname()
        with pytest.raises(Interrupted, match=r"head of the Ray cluster is gone \(nothing answers at 127.0.0.1:\d+\)"):
            remote._look()


def test_a_ray_of_this_machine_that_does_not_start_in_time_is_another_attempt(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="pip install -e '.[ray]'")

    def late(**options):
        raise Exception("The current node timed out during startup.")  # as Ray has it

    monkeypatch.setattr("ray.init", late)
    with (
        pytest.raises(Interrupted, match=r"Ray did not start here: .*timed out during startup. Run again"),
        Remote(context(tmp_path, code()), NEEDS, print, print),
    ):
        pass
