"""What a training that stands still can save: a whole step, with the random numbers that came next after it."""

import random
from types import SimpleNamespace

import pytest
import torch

from trainers.training.stall_save import WholeSteps


@pytest.fixture
def saved():
    return []


@pytest.fixture
def steps(saved):
    trainer = SimpleNamespace(state=SimpleNamespace(global_step=3), model=None)
    trainer._save_checkpoint = lambda model, trial: saved.append((random.random(), torch.rand(1).item()))
    return WholeSteps(trainer)


CONTROL = SimpleNamespace(should_save=False)


def end_step(steps):
    steps.on_step_end(None, None, CONTROL)
    steps.on_log(None, None, CONTROL, logs={"loss": 1.0})


def test_the_numbers_after_the_step_are_saved_with_it(steps, saved):
    end_step(steps)
    expected = (random.random(), torch.rand(1).item())  # drawn by the step that stands still
    assert steps.save() == "step 3 is saved, and the next attempt goes on from there"
    assert saved == [expected]


@pytest.mark.parametrize("moment", ("on_pre_optimizer_step", "on_epoch_end", "before the first step"))
def test_between_whole_steps_nothing_is_saved_and_that_is_said(steps, saved, moment):
    if moment.startswith("on_"):
        end_step(steps)
        getattr(steps, moment)(None, None, CONTROL)
    assert steps.save().startswith("nothing is saved, because it stands still between two whole steps")
    assert not saved


def test_of_several_processes_none_saves_because_the_others_may_hang(steps, saved, monkeypatch):
    end_step(steps)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "the other processes may not answer" in steps.save()
    assert not saved
