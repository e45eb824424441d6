"""The program of a corpus' pods, as real processes: a head with the stage and a node that joins, and how they end."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

import psutil
import pytest

from tests.conftest import ROOT
from tests.support.corpus_landing import data_request, write_jsonl
from tests.support.ray_nodes import PATIENCE
from tests.trainers.corpus.test_join import drop
from trainers.contract import ExitCode, Needs
from trainers.contract.artifacts import ArtifactStore
from trainers.corpus import nodes
from trainers.runner.stage import run_stage

pytestmark = pytest.mark.slow
_SMALL_BLOCKS = "from trainers.text import read, unpack; read.BLOCK_BYTES = 8000; unpack.CHUNK = 2000"


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def pod(home, index, port, request):
    """The process of one index; its stage reads small blocks, so that there are many tasks."""
    customise = home / "site"
    customise.mkdir(exist_ok=True)
    (customise / "sitecustomize.py").write_text(
        f"import sys\nif 'corpus' in sys.argv and '--request' in sys.argv:\n    {_SMALL_BLOCKS}\n"
    )
    stage = ["corpus", "--request", str(home / "request.json")]
    stage += ["--artifacts", str(home / "pods"), "--landing", str(home / "landing")]
    (home / "request.json").write_text(request.model_dump_json())
    options = ["--head", "127.0.0.1", "--port", str(port), "--cpu", "1", "--memory", str(1 << 30)]
    options += ["--token", str(home / "nodes.token")]
    # The code of this folder, also where another checkout is installed: what customises is imported before it is found.
    path = os.pathsep.join([str(customise), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", nodes.__name__, *options, *stage],
        env={**os.environ, **PATIENCE, "JOB_COMPLETION_INDEX": str(index), "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_head_and_a_node_make_the_corpus_of_one_process_and_leave_nothing_running(tmp_path, port):
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", drop())
    request = data_request("corpus", tmp_path / "landing", shard_megabytes=0.01)
    request = request.model_copy(update={"needs": Needs(memory="512Mi")})
    alone = run_stage(request, ArtifactStore(tmp_path / "alone"), tmp_path / "landing")
    other, head = pod(tmp_path, 1, port, request), pod(tmp_path, 0, port, request)
    try:
        output = head.communicate(timeout=600)[0]
        assert head.returncode == 0, output
        assert stat.S_IMODE((tmp_path / "nodes.token").stat().st_mode) == 0o600
        assert (tmp_path / "nodes.token").read_text() not in output
        manifest = ArtifactStore(tmp_path / "pods").find(request)
        assert manifest.digest == alone.digest and manifest.details.work.engine == "ray"
        assert other.poll() is None, "a node waits for its head, until the Job is over"
    finally:
        # A raylet's two agents see it gone later, by looking at times; in a pod they end with the container.
        children = [
            child for child in psutil.Process(other.pid).children(recursive=True) if "Agent" not in child.cmdline()[0]
        ]
        for process in (head, other):
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    assert other.returncode == 128 + signal.SIGTERM and children
    deadline = time.monotonic() + 30
    while any(is_alive(child) for child in children):
        assert time.monotonic() < deadline, "something of the node outlived it"
        time.sleep(0.2)


@pytest.mark.prove
def test_a_head_whose_ray_is_lost_ends_as_resumable(tmp_path, port):
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", drop(600))
    request = data_request("corpus", tmp_path / "landing", shard_megabytes=0.02)
    head = pod(tmp_path, 0, port, request.model_copy(update={"needs": Needs(memory="512Mi")}))
    assert any("[corpus] cleaned" in line for line in head.stdout)
    (server,) = (
        child for child in psutil.Process(head.pid).children(recursive=True) if "gcs_server" in child.cmdline()[0]
    )
    server.kill()
    rest = head.communicate(timeout=300)[0]
    assert head.returncode == ExitCode.RESUMABLE, rest
    assert "Ray's head ended" in rest and "stopped by SIGTERM; run again to go on" in rest


def test_a_node_with_little_shared_memory_asks_for_what_ray_takes_at_least(tmp_path, monkeypatch):
    from ray._private.ray_constants import OBJECT_STORE_MINIMUM_MEMORY_BYTES

    options = nodes.parser().parse_args(["--head", "h", "--cpu", "1", "--memory", "1", "--token", "t"])
    for free, share in ((64 << 20, OBJECT_STORE_MINIMUM_MEMORY_BYTES), (1 << 30, int(0.8 * (1 << 30)))):
        monkeypatch.setattr(nodes.shutil, "disk_usage", lambda path, free=free: shutil._ntuple_diskusage(0, 0, free))
        command = nodes._start(options, "127.0.0.1")
        assert command[command.index("--object-store-memory") + 1] == str(share)


@pytest.mark.prove
def test_sigterm_of_the_head_is_the_stages_own_and_the_next_attempt_goes_on(tmp_path, port):
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", drop(600))
    request = data_request("corpus", tmp_path / "landing", shard_megabytes=0.01)
    request = request.model_copy(update={"needs": Needs(memory="512Mi")})
    head = pod(tmp_path, 0, port, request)
    finished = 0
    for line in head.stdout:
        finished += "[corpus] cleaned" in line
        if finished == 3:
            head.send_signal(signal.SIGTERM)
            break
    rest = head.communicate(timeout=300)[0]
    assert head.returncode == 75, rest
    published = len([*tmp_path.glob("pods/corpus/r1/*.partial/scratch/work/blocks/[!.]*")])
    assert published >= 3
    again = pod(tmp_path, 0, port, request)
    output = again.communicate(timeout=600)[0]
    assert again.returncode == 0, output
    assert output.count("[corpus] cleaned") > 0 and "[corpus] clean: byte" in output
    alone = run_stage(request, ArtifactStore(tmp_path / "alone"), tmp_path / "landing")
    assert ArtifactStore(tmp_path / "pods").find(request).digest == alone.digest


def test_a_head_whose_name_is_not_known_yet_waits_and_one_that_nobody_knows_says_so(monkeypatch, capsys, tmp_path):
    """The Service that gives the name is made after the Job: on a real cluster the pod may be first."""
    lookups: list[str] = []

    def not_known(host: str) -> str:
        lookups.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "gethostbyname", not_known)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    options = ["--head", "job-0.job", "--cpu", "1", "--memory", "1", "--token", str(tmp_path / "token"), "corpus"]
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})  # it sets Ray's variables for its process
    assert nodes.main(options) == ExitCode.SERVICE_MISSING
    assert len(lookups) > 10 and "DNS does not know 'job-0.job'" in capsys.readouterr().err
