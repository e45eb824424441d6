"""Checkpoints: published whole, verified on resume, rejected ones kept aside, strangers refused."""

import errno
from threading import Event, Timer

import pytest

from trainers.contract import BadRequest, DiskTrouble
from trainers.training.checkpoints import Checkpoints


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def checkpoints(tmp_path, warnings):
    return Checkpoints(tmp_path / "checkpoints", {"data": "d1", "recipe": "r1"}, warnings.append)


def save(checkpoints, step, content="weights"):
    with checkpoints.writing(step) as folder:
        (folder / "nested").mkdir()
        (folder / "nested" / "model.bin").write_text(f"{content} {step}")


def test_the_newest_whole_one_is_resumed(checkpoints):
    for step in (5, 10, 9):
        save(checkpoints, step)
    assert checkpoints.step_of(checkpoints.newest()) == 10


def test_none_is_resumed_where_there_is_none(checkpoints):
    assert checkpoints.newest() is None


def test_old_ones_are_pruned(checkpoints):
    for step in (5, 10, 15):
        save(checkpoints, step)
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["step-00000010", "step-00000015"]


def test_a_save_that_was_killed_leaves_nothing_to_resume(checkpoints):
    save(checkpoints, 5)
    with pytest.raises(KeyboardInterrupt), checkpoints.writing(10) as folder:
        (folder / "model.bin").write_text("half")
        raise KeyboardInterrupt
    assert checkpoints.step_of(checkpoints.newest()) == 5
    assert not list(checkpoints.folder.glob(".writing-*"))


@pytest.mark.parametrize("damage", ("changed", "missing", "no seal", "half a seal"))
def test_a_damaged_one_is_skipped_named_and_kept(checkpoints, warnings, damage):
    save(checkpoints, 5)
    save(checkpoints, 10)
    victim = checkpoints.folder / "step-00000010"
    model, seal = victim / "nested" / "model.bin", victim / "seal.json"
    if damage == "changed":
        model.write_text("weightz 10")
    elif damage == "missing":
        model.unlink()
    elif damage == "no seal":
        seal.unlink()
    else:
        seal.write_text(seal.read_text()[:20])
    assert checkpoints.step_of(checkpoints.newest()) == 5
    assert "step-00000010" in warnings[0]
    assert len(list((checkpoints.folder / "rejected").iterdir())) == 1


@pytest.mark.parametrize("changed", ("data", "recipe"))
def test_one_of_another_training_is_refused_by_name(checkpoints, changed):
    save(checkpoints, 5)
    stranger = Checkpoints(checkpoints.folder, {"data": "d1", "recipe": "r1", changed: "other"}, print)
    with pytest.raises(BadRequest, match=f"other {changed};"):
        stranger.newest()


@pytest.fixture
def background(tmp_path, warnings):
    return Checkpoints(tmp_path / "checkpoints", {"data": "d1", "recipe": "r1"}, warnings.append, background=True)


def test_a_save_in_the_background_is_published_whole_and_the_next_waits_for_it(background, monkeypatch):
    begun, go_on, order = Event(), Event(), []
    seal = Checkpoints._seal

    def slow(self, folder, step):
        order.append(f"sealing {step}")
        begun.set()
        assert go_on.wait(10)
        seal(self, folder, step)
        order.append(f"sealed {step}")

    monkeypatch.setattr(Checkpoints, "_seal", slow)
    save(background, 5)
    assert begun.wait(10)
    assert [path.name for path in background.folder.iterdir()] == [".writing-5"]  # nothing to resume from yet
    Timer(0.1, go_on.set).start()
    save(background, 10)
    assert order[:2] == ["sealing 5", "sealed 5"]
    assert background.step_of(background.newest()) == 10  # waits too


def test_a_save_that_failed_in_the_background_is_told_by_the_next_one(background, monkeypatch):
    def full(self, folder, step):
        raise OSError(errno.ENOSPC, "No space left on device", "model.bin")

    monkeypatch.setattr(Checkpoints, "_seal", full)
    save(background, 5)
    with pytest.raises(DiskTrouble, match="saving the checkpoint of step 5: No space left"):
        save(background, 10)
