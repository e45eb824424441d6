"""Artifacts: all or nothing, verified, and never mistaken for one another."""

import errno
import os

import pytest

from trainers.contract import BadRequest, BenchmarkDetails, DiskTrouble, Input, Manifest, StageRequest
from trainers.contract.artifacts import ArtifactStore, Busy
from trainers.contract.digests import tree_digest
from trainers.contract.files import disk_errors_named


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def request(seed=1, inputs=()):
    return StageRequest(stage="benchmarks", stage_version=1, release="r1", seed=seed, inputs=inputs)


def commit(store, stage_request, text="안녕하세요"):
    with store.workspace(stage_request) as workspace:
        (workspace.output / "sub").mkdir(exist_ok=True)
        (workspace.output / "sub" / "a.txt").write_text(text)
        manifest = Manifest(
            request=stage_request,
            request_digest=stage_request.digest,
            files=workspace.records(workspace.output),
            metrics={"items": 1.0},
            details=BenchmarkDetails(suites={"a": 1}),
        )
        artifact = workspace.commit(manifest)
    store.discard_partial(stage_request)
    return artifact


def test_found_only_after_the_commit(store):
    stage_request = request()
    assert store.find(stage_request) is None
    with store.workspace(stage_request) as workspace:
        (workspace.output / "a.txt").write_text("half")
        assert store.find(stage_request) is None
    assert store.find(stage_request) is None
    artifact = commit(store, stage_request)
    assert store.find(stage_request).digest == artifact.digest
    assert not store.folder(stage_request).with_name(stage_request.digest + ".partial").exists()


def test_what_only_its_writer_could_read_is_published_as_readable_as_its_folder(store):
    stage_request = request()
    with store.workspace(stage_request) as workspace:
        weights = workspace.output / "model.safetensors"
        weights.touch(mode=0o600)
        workspace.records(workspace.output)
        assert weights.stat().st_mode & 0o777 == workspace.output.stat().st_mode & 0o666


def test_content_digest_ignores_time_and_follows_bytes(store, tmp_path):
    one = commit(store, request())
    again = commit(ArtifactStore(tmp_path / "moved"), request())
    other = commit(ArtifactStore(tmp_path / "other"), request(), text="반갑습니다")
    assert one.digest == again.digest != other.digest


@pytest.mark.parametrize("harm", ["change", "remove", "manifest"])
def test_damaged_artifacts_are_refused_and_named(store, harm):
    artifact = commit(store, request())
    path = store.path(artifact) / "sub" / "a.txt"
    if harm == "change":
        path.write_text("x" * len(path.read_bytes()))
    elif harm == "remove":
        path.unlink()
    else:
        (store.path(artifact) / "manifest.json").write_text("{")
    with pytest.raises(DiskTrouble, match="Move the folder aside"):
        store.find(request())


def test_two_processes_never_share_a_workspace(store):
    with store.workspace(request()), pytest.raises(Busy, match="another process works on"), store.workspace(request()):
        pass
    with store.workspace(request()):  # the lock goes with its holder
        pass


def test_attempts_are_kept_between_tries(store):
    with store.workspace(request()) as workspace:
        workspace.begin_attempt()
        workspace.end_attempt(75)
    with store.workspace(request()) as workspace:
        assert workspace.begin_attempt().number == 2
        assert [attempt.exit_code for attempt in workspace.attempts] == [75, None]


def test_inputs_are_verified(store, tmp_path):
    artifact = commit(store, request())
    good = Input(name="benchmarks", digest=artifact.digest, path=artifact.path)
    assert store.resolve(good, None) == store.path(artifact)
    with pytest.raises(BadRequest, match="'benchmarks'.*has content"):
        store.resolve(good.model_copy(update={"digest": "0" * 64}), None)
    with pytest.raises(BadRequest, match="is no artifact"):
        store.resolve(good.model_copy(update={"path": "nowhere"}), None)


def test_of_an_input_that_is_read_in_part_that_part_is_verified(store):
    artifact = commit(store, request())
    part = Input(name="earlier_r0", digest=artifact.digest, path=artifact.path, only=("sub",))
    other = part.model_copy(update={"only": ("something else",)})
    (store.path(artifact) / "sub" / "a.txt").write_text("changed")
    assert store.resolve(other, None) == store.path(artifact)
    with pytest.raises(BadRequest, match="is not what the manifest says"):
        store.resolve(part, None)
    assert part.is_compared_with and not part.model_copy(update={"name": "benchmarks"}).is_compared_with


def test_a_landed_folder_that_changes_is_refused(store, tmp_path):
    folder = tmp_path / "landing" / "r1" / "corpus"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("가")
    item = Input(name="landing", digest=tree_digest(folder), path="r1/corpus", root="landing")
    assert store.resolve(item, tmp_path / "landing") == folder
    (folder / "_READY").touch()
    assert store.resolve(item, tmp_path / "landing") == folder
    (folder / "b.txt").write_text("나")
    with pytest.raises(BadRequest, match="changed after the request was built"):
        store.resolve(item, tmp_path / "landing")
    with pytest.raises(BadRequest, match="there is no folder"):
        store.resolve(item, tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EPERM, errno.EACCES, errno.ESTALE, errno.ETIMEDOUT])
def test_a_full_disk_is_told_in_words(code):
    with pytest.raises(DiskTrouble, match="writing shards.*Free space"), disk_errors_named("writing shards"):
        raise OSError(code, os.strerror(code), "/data/x")
