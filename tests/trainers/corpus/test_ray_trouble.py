"""What Ray lacks or loses: a full object store, a full volume, the head. Each ends the stage with its own exit code."""

from functools import partial
from itertools import islice

import pytest

from tests.support.corpus_landing import data_request, start_data_stage, write_jsonl
from tests.support.ray_nodes import OBJECT_STORE, ray_nodes
from tests.support.small_volume import small_volume
from tests.trainers.corpus.test_join import drop
from tests.trainers.corpus.test_remote import corpus
from trainers.contract import DiskTrouble, ExitCode, Needs
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.data import CorpusSection
from trainers.corpus.plan import code_digest
from trainers.corpus.remote import Remote
from trainers.corpus.tasks import Context, Task

pytestmark = pytest.mark.prove
NEEDS = Needs(cpu=1, memory="512Mi")
ALONE = Needs(engine="pool")
CLEANED = "[corpus] cleaned"
SMALL_BLOCKS = "from trainers.text import read, unpack; read.BLOCK_BYTES = 8000; unpack.CHUNK = 2000"
A_DISK_IS_FULL = {"RAY_local_fs_capacity_threshold": "0.0001"}
"""Of the disk that objects go to where the store is full: Ray takes it as full from this share on."""


def weigh(payload, context, path):
    """A task that its payload weighs down."""
    path.write_text(str(len(payload)))


def request_of(home, count):
    """The request that `corpus` runs in this process."""
    write_jsonl(home / "landing/r1/corpus/a.jsonl", drop(count))
    request = data_request("corpus", home / "landing", shard_megabytes=0.01, validation_share=0.1)
    return request.model_copy(update={"needs": NEEDS})


def test_a_full_object_store_on_a_full_disk_is_said(tmp_path):
    context = Context(CorpusSection(), 16, (), (), tmp_path, tmp_path / "out", 1 << 28, code_digest())
    tasks = [Task("a heavy task", tmp_path / "done", partial(weigh, bytes(2 * OBJECT_STORE)))]
    with (
        ray_nodes(1, tmp_path, **A_DISK_IS_FULL),
        pytest.raises(DiskTrouble, match=r"Ray's object store or its disk is full: .*`shared_memory` of the profile"),
        Remote(context, NEEDS, print, print) as remote,
    ):
        list(remote.run(iter(tasks)))
    assert not (tmp_path / "done").exists()


def test_a_full_volume_is_said_and_room_made_the_next_attempt_goes_on(tmp_path, monkeypatch):
    request = request_of(tmp_path, 600)
    alone = corpus(tmp_path, "alone", monkeypatch, needs=ALONE)
    with ray_nodes(1, tmp_path), small_volume(tmp_path / "artifacts") as resize:
        full = start_data_stage(request, tmp_path, "artifacts", SMALL_BLOCKS)
        output = full.communicate(timeout=300)[0]
        assert full.returncode == ExitCode.DISK_TROUBLE, output
        assert "No space left on device" in output and "Free space or repair the volume, then run again" in output
        resize("64m")
        again = start_data_stage(request, tmp_path, "artifacts", SMALL_BLOCKS)
        output = again.communicate(timeout=300)[0]
        assert again.returncode == 0, output
        assert ArtifactStore(tmp_path / "artifacts").find(request).digest == alone.digest


def test_a_head_that_is_lost_is_another_attempt_which_goes_on(tmp_path, monkeypatch, capsys):
    """In a process of its own: Ray itself ends one whose head it misses for long."""
    request = request_of(tmp_path, 600)
    alone = corpus(tmp_path, "alone", monkeypatch, needs=ALONE)
    blocks = capsys.readouterr().out.count(CLEANED)
    with ray_nodes(1, tmp_path) as nodes:
        stage = start_data_stage(request, tmp_path, "artifacts", SMALL_BLOCKS)
        cleaned = (line for line in stage.stdout if CLEANED in line)
        assert len([*islice(cleaned, 3)]) == 3
        nodes.lose_head()
        output = stage.communicate(timeout=300)[0]
        assert stage.returncode == ExitCode.RESUMABLE, output
        assert "the head of the Ray cluster is gone" in output and "run again to go on" in output
    published = len([*tmp_path.glob("artifacts/corpus/r1/*.partial/scratch/work/blocks/[!.]*")])
    assert 3 <= published < blocks
    capsys.readouterr()
    assert corpus(tmp_path, "artifacts", monkeypatch, needs=ALONE).digest == alone.digest
    assert capsys.readouterr().out.count(CLEANED) == blocks - published
