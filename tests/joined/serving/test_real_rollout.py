"""Rollouts of small real models on Hugging Face's own server: every turn that the scripted servers take, for real."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
from dagster import Failure

from korean_llm_assets.serving.registry import CHAMPION, PREVIOUS, Registry
from korean_llm_assets.serving.rollout import RolloutPolicy
from korean_llm_assets.serving.rollout_hook import heard, rollout_on
from korean_llm_assets.serving.smoke import ask
from tests.joined.commands.test_serve import exported, heard_of
from tests.korean_llm_assets.serving.test_registry import report_on
from tests.support.local_platform import LocalPlatform
from tests.support.toy import build_model, teach
from trainers.contract import Manifest
from trainers.contract.artifacts import ArtifactStore

QUESTION = "나무 다음은 무엇인가요?"
POLICY = RolloutPolicy(canary_share=0.5, canary_seconds=2)


class World:
    """A registry whose promotions are rollouts on real servers, and the store of what is promoted."""

    def __init__(self, folder: Path):
        self.store = ArtifactStore(folder / "artifacts")
        self.paths: dict[str, Path] = {}
        self.platform = LocalPlatform(lambda number: self.paths[number], folder / "logs")
        self.registry = Registry(
            f"sqlite:///{folder / 'mlflow.db'}",
            locks=folder / "locks",
            rollout=rollout_on(self._platform, POLICY, partial(heard, self.store)),
        )
        self.dies_as_canary: str | None = None
        self.divided: list[dict[str, float]] = []
        self.watch()

    def watch(self) -> None:
        """Keep what is divided, on the platform as it is now."""
        self._route = self.platform.route
        self.platform.route = self._routed

    def _platform(self, name, versions):
        self.paths |= {number: self.store.root / v.artifact.path / "model" for number, v in versions.items()}
        return self.platform

    def _routed(self, shares: dict[str, float]) -> None:
        self._route(shares)
        self.divided.append(shares)
        if self.dies_as_canary in shares and len(shares) == 2:
            self.platform._servers[self.dies_as_canary].process.kill()

    def promote(self, made: Manifest) -> str:
        champion = self.registry.version("toy", CHAMPION)
        report = report_on("1", champion.artifact.digest if champion else None)
        return self.registry.promote("toy", made, report, self.store, {}).version

    def answer(self) -> str:
        """What whoever is served says to one question: greedy, so each model always says the same."""
        reply = ask(self.platform.url, QUESTION)
        assert not reply.error
        return reply.text

    @contextmanager
    def asked_all_the_time(self) -> Iterator[None]:
        stop = threading.Event()

        def keep_asking() -> None:
            while not stop.is_set():
                ask(self.platform.url, QUESTION, max_tokens=2)

        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            yield
        finally:
            stop.set()
            asking.join()


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.platform.close()


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Two models that answer in Korean, each in its own words."""
    first = teach(build_model(tmp_path_factory.mktemp("first") / "model", seed=1))
    second = Path(shutil.copytree(first, tmp_path_factory.mktemp("second") / "model"))
    return first, teach(second, steps=10)


@pytest.mark.slow
def test_a_canary_is_promoted_on_a_real_server(world, taught):
    first, second = (exported(world.store, folder, f"r{n}", heard_of(folder)) for n, folder in enumerate(taught))
    assert world.promote(first) == "1"
    before = world.answer()
    with world.asked_all_the_time():
        assert world.promote(second) == "2"
    assert [shares for shares, _ in groupby(world.divided)] == [{"1": 1.0}, {"1": 0.5, "2": 0.5}, {"2": 1.0}]
    assert world.answer() != before


@pytest.mark.prove
def test_bad_versions_are_taken_back_and_a_rollback_can_be_undone(world, taught, tmp_path):
    broken = Path(shutil.copytree(taught[0], tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"not weights")
    folders = [*taught, build_model(tmp_path / "noise", seed=7), broken]
    first, second, noise, unready = (exported(world.store, folder, f"r{n}") for n, folder in enumerate(folders))
    world.promote(first)
    ours = world.answer()
    with pytest.raises(Failure, match=r"(?s)version 2 was not promoted.*smoke test failed.*log of the version"):
        world.promote(noise)
    with pytest.raises(Failure, match=r"(?s)version 3 was not promoted.*never became ready.*log of.*SafetensorError"):
        world.promote(unready)
    world.dies_as_canary = "4"
    with (
        world.asked_all_the_time(),
        pytest.raises(Failure, match=r"version 4 .*(?s:.)*of the canary's \d+ requests failed"),
    ):
        world.promote(second)
    assert world.registry.version("toy", CHAMPION).number == "1"
    assert world.answer() == ours
    world.dies_as_canary = None
    with world.asked_all_the_time():
        assert world.promote(second) == "4"
    theirs = world.answer()
    assert theirs != ours
    assert world.registry.roll_back("toy").number == "1"
    assert world.answer() == ours
    with world.asked_all_the_time():
        assert world.promote(second) == "4", "the same artifact, promoted again after a rollback"
    assert world.answer() == theirs
    assert [world.registry.version("toy", alias).number for alias in (CHAMPION, PREVIOUS)] == ["4", "1"]
