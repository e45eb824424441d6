"""Stages in miniature for tests of single settings: made once a file, and what a test makes is its own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests.support.micro import Micro


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Micro:
    """Every stage's inputs."""
    return Micro.with_stand_ins(tmp_path_factory.mktemp("micro"))


@pytest.fixture
def micro(started: Micro) -> Iterator[Micro]:
    """Stages that a test makes are its own; those made before it are there."""
    before = dict(started.made)
    yield started
    started.made = before


@pytest.fixture
def crash_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """A training in this process that must fail right after a step, whatever was saved by then."""
    from trainers.training.loop import ReporterCallback

    @contextmanager
    def crashing(step: int) -> Iterator[None]:
        on_step_end = ReporterCallback.on_step_end

        def crash(self: Any, args: Any, state: Any, control: Any, **named: Any) -> None:
            on_step_end(self, args, state, control, **named)
            if state.global_step == step:
                raise RuntimeError("crashed")

        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="crashed"):
            patch.setattr(ReporterCallback, "on_step_end", crash)
            yield

    return crashing
