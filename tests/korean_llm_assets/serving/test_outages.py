"""Registry, platform or process fails at every step of promotion and rollback: the champion named is what answers."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import pytest
from dagster import Failure

from korean_llm_assets.serving import rollout
from korean_llm_assets.serving.registry import CHAMPION, PREVIOUS, Registry
from korean_llm_assets.serving.smoke import Reply, SmokeResult
from tests.korean_llm_assets.serving.test_registry import empty_database, export_of, report_on  # noqa: F401
from tests.support.serving_faults import MODES, Died, FakePlatform, Faults, World
from trainers.contract import ServiceMissing
from trainers.contract.artifacts import ArtifactStore

Try = Callable[[World, Registry], object]
_export, _report = cache(export_of), cache(report_on)


@pytest.fixture(autouse=True)
def _good_answers(monkeypatch):
    monkeypatch.setattr(rollout, "ask", lambda url, question, max_tokens: None)
    monkeypatch.setattr(rollout, "smoke_test", lambda url, heard: SmokeResult([Reply("q", "답", 0.1)]))


def promote(model: str) -> Try:
    """Promote a model whose report compares with whatever is champion at that time."""

    def attempt(world: World, registry: Registry) -> object:
        champion = _champion_content(world)
        store = ArtifactStore(world.locks)
        return registry.promote("toy", _export(model), _report(model, champion), store, {})

    return attempt


def _champion_content(world: World) -> str | None:
    number = world.aliases("toy").get(CHAMPION)
    return world.client.get_model_version("toy", number).tags["artifact_digest"] if number else None


def roll_back(world: World, registry: Registry) -> object:
    return registry.roll_back("toy")


@dataclass(frozen=True)
class Scenario:
    """What happened before, what fails half-way, what is tried next, and the aliases when that succeeded."""

    before: tuple[Try, ...]
    attempt: Try
    after: Try
    aliases: dict[str, str]


SCENARIOS = {
    "first": Scenario((), promote("1"), promote("1"), {CHAMPION: "1"}),
    "promotion": Scenario((promote("1"),), promote("2"), promote("2"), {CHAMPION: "2", PREVIOUS: "1"}),
    "rollback": Scenario((promote("1"), promote("2")), roll_back, roll_back, {CHAMPION: "1", PREVIOUS: "2"}),
    "rollback of a rollback": Scenario(
        (promote("1"), promote("2"), roll_back), roll_back, roll_back, {CHAMPION: "2", PREVIOUS: "1"}
    ),
    "promotion after a rollback": Scenario(
        (promote("1"), promote("2"), roll_back), promote("2"), promote("2"), {CHAMPION: "2", PREVIOUS: "1"}
    ),
    "the champion again": Scenario(
        (promote("1"), promote("2")), promote("2"), promote("2"), {CHAMPION: "2", PREVIOUS: "1"}
    ),
}


def world_before(scenario: Scenario, world: World) -> World:
    for attempt in scenario.before:
        attempt(world, world.registry(Faults()))
    return world


def fail(world: World, attempt: Try, faults: Faults) -> None:
    """A try that meets its fault; where it did not die, the champion has all traffic at once."""
    with pytest.raises((Failure, ServiceMissing, Died)):
        attempt(world, world.registry(faults))
    champion = world.aliases("toy").get(CHAMPION)
    if not faults.is_dead:
        assert world.platform.shares == ({champion: 1.0} if champion else {}), faults
    assert champion is None or world.platform.shares.get(champion), f"the champion has no traffic: {faults}"
    assert all(world.platform.is_ready(version) for version in world.platform.shares), faults


def assert_settled(world: World, aliases: dict[str, str], message: object) -> None:
    """The registry's champion answers, alone, and nothing is left half-done."""
    assert world.aliases("toy") == aliases, message
    assert world.platform.shares == {aliases[CHAMPION]: 1.0}, message
    assert world.platform.ready == {aliases[CHAMPION]: True}, message
    assert world.tags("toy") == {}, message
    contents = [version.tags["artifact_digest"] for version in world.client.search_model_versions("name = 'toy'")]
    assert len(contents) == len(set(contents)), f"registered twice: {message}"


def is_done(world: World, scenario: Scenario) -> bool:
    """The fault came behind the last step: a second rollback would be another one."""
    return world.aliases("toy") == scenario.aliases and not world.tags("toy")


def steps_of(scenario: Scenario, world: World) -> int:
    faults = Faults()
    scenario.attempt(world_before(scenario, world), world.registry(faults))
    assert_settled(world, scenario.aliases, "a healthy run")
    return len(faults.steps)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SCENARIOS)
def test_after_a_failure_at_any_step_the_champion_answers_and_the_next_try_finishes(name, mode, tmp_path):
    scenario = SCENARIOS[name]
    for step in range(steps_of(scenario, World(tmp_path))):
        world, faults = world_before(scenario, World(tmp_path)), Faults(step, mode)
        fail(world, scenario.attempt, faults)
        if scenario.after is not roll_back or not is_done(world, scenario):
            scenario.after(world, world.registry(Faults()))
        assert_settled(world, scenario.aliases, faults)


@pytest.mark.parametrize("modes", [("died after", "answer lost"), ("answer lost", "died before")])
@pytest.mark.parametrize("name", ["first", "promotion", "rollback"])
def test_two_failures_in_a_row_are_mended_by_the_third_try(name, modes, tmp_path):
    scenario = SCENARIOS[name]
    count = steps_of(scenario, World(tmp_path))
    for first in range(count):
        for second in range(count):
            world, faults = world_before(scenario, World(tmp_path)), Faults(first, modes[0])
            fail(world, scenario.attempt, faults)
            again = Faults(second, modes[1])
            if not is_done(world, scenario):
                with suppress(Failure, ServiceMissing, Died):
                    scenario.after(world, world.registry(again))
            if not is_done(world, scenario):
                scenario.after(world, world.registry(Faults()))
            assert_settled(world, scenario.aliases, (faults, again))


@pytest.mark.parametrize("mode", MODES)
def test_another_version_may_follow_one_that_was_interrupted(mode, tmp_path):
    """Of what the interrupted try left behind nothing keeps running, and `previous` is what really served before."""
    scenario = SCENARIOS["promotion"]
    for step in range(steps_of(scenario, World(tmp_path))):
        world, faults = world_before(scenario, World(tmp_path)), Faults(step, mode)
        fail(world, scenario.attempt, faults)
        before = world.aliases("toy")[CHAMPION]
        version = promote("3")(world, world.registry(Faults())).version
        assert_settled(world, {CHAMPION: version, PREVIOUS: before}, faults)


@pytest.mark.parametrize("mode", MODES)
def test_an_interrupted_promotion_can_be_rolled_back(mode, tmp_path):
    scenario = SCENARIOS["promotion"]
    for step in range(steps_of(scenario, World(tmp_path))):
        world, faults = world_before(scenario, World(tmp_path)), Faults(step, mode)
        fail(world, scenario.attempt, faults)
        if world.aliases("toy")[CHAMPION] == "1":
            continue  # the alias did not move, and before it there was nothing
        roll_back(world, world.registry(Faults()))
        assert_settled(world, {CHAMPION: "1", PREVIOUS: "2"}, faults)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("canary", [(5.0, 10.0), (0.0, 0.0)], ids=["fails", "unasked"])
def test_taking_a_canary_back_survives_a_failure_at_any_step(canary, mode, tmp_path):
    scenario = SCENARIOS["promotion"]

    def unfit() -> World:
        world = world_before(scenario, World(tmp_path))
        world.platform.canary = canary
        return world

    healthy = Faults()
    with pytest.raises(Failure, match="was not promoted"):
        world = unfit()
        scenario.attempt(world, world.registry(healthy))
    for step in range(len(healthy.steps)):
        world, faults = unfit(), Faults(step, mode)
        fail(world, scenario.attempt, faults)
        with pytest.raises(Failure, match="was not promoted"):
            scenario.attempt(world, world.registry(Faults()))
        assert world.aliases("toy")[CHAMPION] == "1", faults
        assert (world.platform.shares, world.platform.ready) == ({"1": 1.0}, {"1": True}), faults


def test_a_registry_that_stays_down_leaves_both_versions_served(tmp_path):
    """Whom the alias names cannot be known then; whichever it is, it is ready and has traffic."""
    scenario = SCENARIOS["promotion"]
    world, healthy = world_before(scenario, World(tmp_path)), Faults()
    scenario.attempt(world, world.registry(healthy))
    moved = [step for step, name in enumerate(healthy.steps) if name == "set_registered_model_alias"][1]
    world = world_before(scenario, World(tmp_path))

    class Down(Faults):
        def step(self, name, error, call):
            if len(self.steps) >= moved and "model" in name:
                raise error
            return super().step(name, error, call)

    with pytest.raises(Failure, match="does not answer"):
        scenario.attempt(world, world.registry(Down()))
    assert set(world.platform.shares) == {"1", "2"} == set(world.platform.ready)
    scenario.attempt(world, world.registry(Faults()))
    assert_settled(world, scenario.aliases, "the registry is back")


@pytest.mark.parametrize("fallen", ["1", "2"])
def test_a_version_that_falls_over_during_the_smoke_test_gets_no_traffic(fallen, tmp_path, monkeypatch):
    world = world_before(SCENARIOS["promotion"], World(tmp_path))

    def fall_over(url: str, heard: object) -> SmokeResult:
        world.platform.ready[fallen] = False
        return SmokeResult([Reply("q", "답", 0.1)])

    monkeypatch.setattr(rollout, "smoke_test", fall_over)
    if fallen == "1":
        promote("2")(world, world.registry(Faults()))
        assert_settled(world, SCENARIOS["promotion"].aliases, "")
    else:
        with pytest.raises(Failure, match="version 2 is not ready, so no traffic is sent to it"):
            promote("2")(world, world.registry(Faults()))
        assert (world.platform.shares, world.platform.ready) == ({"1": 1.0}, {"1": True})


def test_a_canary_that_falls_over_is_not_promoted(tmp_path, monkeypatch):
    world = world_before(SCENARIOS["promotion"], World(tmp_path))

    def fall_over(version: str) -> tuple[float, float]:
        world.platform.ready[version] = False
        return 0.0, 10.0

    monkeypatch.setattr(world.platform, "requests", fall_over)
    with pytest.raises(Failure, match="2 taken back: it is not ready any more"):
        promote("2")(world, world.registry(Faults()))
    assert world.aliases("toy")[CHAMPION] == "1"
    assert (world.platform.shares, world.platform.ready) == ({"1": 1.0}, {"1": True})


def test_a_champion_that_fell_over_is_brought_back_by_promoting_it_again(tmp_path):
    world = world_before(SCENARIOS["promotion"], World(tmp_path))
    world.platform = FakePlatform()  # a cluster that was set up anew
    promote("1")(world, world.registry(Faults()))
    assert_settled(world, {CHAMPION: "1"}, "")


def real_world(folder, database) -> World:
    """MLflow's own registry on SQLite."""
    folder.mkdir()
    shutil.copyfile(database, folder / "mlflow.db")
    return World(folder, Registry(f"sqlite:///{folder / 'mlflow.db'}", locks=folder)._client())


@pytest.mark.parametrize("name", ["promotion", "rollback"])
def test_mlflows_own_registry_converges_around_every_move_of_an_alias(name, tmp_path, empty_database):  # noqa: F811
    scenario, healthy = SCENARIOS[name], Faults()
    world = world_before(scenario, real_world(tmp_path / "healthy", empty_database))
    scenario.attempt(world, world.registry(healthy))
    assert_settled(world, scenario.aliases, "a healthy run")
    for step in [n for n, call in enumerate(healthy.steps) if call == "set_registered_model_alias"]:
        world = world_before(scenario, real_world(tmp_path / str(step), empty_database))
        faults = Faults(step, MODES[1 + 2 * (step % 2)])  # the answer is lost, or the process dead behind it
        fail(world, scenario.attempt, faults)
        if scenario.after is not roll_back or not is_done(world, scenario):
            scenario.after(world, world.registry(Faults()))
        assert_settled(world, scenario.aliases, faults)
