"""Dagster on a real PostgreSQL, as on a cluster: drops, two daemons, many events; and a backup that gives all back."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from dagster import AssetKey, DagsterInstance

from korean_llm_assets.home import Home
from korean_llm_assets.partitions.pointers import latest
from korean_llm_assets.serving.registry import Registry
from tests.korean_llm_assets.conftest import WHOLE, PlatformUnderTest, define, drop
from tests.korean_llm_assets.serving import test_registry as registries
from tests.korean_llm_assets.triggers import test_automation as automation
from tests.support.postgres import Postgres, postgres
from tests.support.served import own_recipes, served, small_release, wait_until
from trainers.contract.artifacts import ArtifactStore

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


def on(home: Home, database: str) -> None:
    """Let Dagster keep everything in this database, by the block that the chart writes."""
    path = home.dagster / "dagster.yaml"
    settings = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**settings, "storage": {"postgres": {"postgres_url": database}}}))


@pytest.fixture
def platform(server: Postgres, home: Home, tmp_path: Path) -> Iterator[PlatformUnderTest]:
    chart = yaml.safe_load((ROOT / "helm-values" / "dagster.yaml").read_text())
    on(home, server.database(f"d{abs(hash(tmp_path))}", chart["postgresql"]["postgresqlScheme"]))
    with DagsterInstance.get() as instance:
        assert "Postgres" in type(instance.event_log_storage).__name__
        yield PlatformUnderTest(home, instance, define())


def test_of_two_daemons_that_see_a_drop_at_once_one_starts_its_run(platform: PlatformUnderTest) -> None:
    automation.test_of_two_daemons_that_see_a_drop_at_once_one_starts_its_run(platform)


@pytest.mark.parametrize("events", [100, pytest.param(1000, marks=pytest.mark.prove)])
def test_events_give_one_release_and_one_run_per_content(platform: PlatformUnderTest, events: int) -> None:
    automation.test_a_thousand_events_give_one_run_per_content_that_a_release_changes_to(platform, events)


@pytest.mark.prove
def test_web_server_and_two_daemons_on_it_make_a_drop_once(server: Postgres, home: Home) -> None:
    """The real processes: code server, web server, MLflow's, and a second daemon that somebody left running."""
    on(home, server.database("served"))
    scripted = os.pathsep.join([str(ROOT / "tests" / "support" / "scripted_models"), str(ROOT)])
    recipes = own_recipes(home, tiny={"automation": "ask"})
    with served(home, PYTHONPATH=scripted, KOREAN_LLM_RECIPES=str(recipes), KOREAN_LLM_MODELS="tiny") as ui:
        command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(home.dagster / "served.yaml")]
        with subprocess.Popen(command, env=ui.environment, stderr=subprocess.DEVNULL) as second:
            try:
                (small_release(home, "r1") / "_READY").touch()
                wait_until(lambda: "r1" in ui.materialized("corpus"), 480)
                (run,) = ui.runs(korean_llm__landed_as="r1")
                assert ui.finish(run["runId"]) == "SUCCESS"
                assert second.poll() is None
            finally:
                second.terminate()
    events = server.run("psql", "-At", "-d", "served", "-c", "SELECT count(*) FROM event_logs")
    assert int(events) > 100, "it was this database that they all worked on"


@pytest.mark.prove
@pytest.mark.parametrize(
    "test",
    [
        registries.test_the_first_model_becomes_the_champion_with_its_lineage,
        registries.test_a_second_model_makes_the_first_previous_and_the_first_can_come_back,
        registries.test_two_promotions_at_once_have_one_winner,
    ],
)
def test_the_registry_on_it(server: Postgres, tmp_path: Path, test: Callable[[Registry, ArtifactStore], None]) -> None:
    database = server.database(f"m{abs(hash(tmp_path))}")
    test(Registry(database, locks=tmp_path / "locks", retry_seconds=()), ArtifactStore(tmp_path / "artifacts"))


def test_a_backup_gives_releases_their_order_and_the_same_digests(
    server: Postgres, platform: PlatformUnderTest
) -> None:
    """With which corpora a release is compared follows from the order of releases, which only the database knows."""
    home, names = platform.home, ["zebra", "apple", "mango"]
    for number, name in enumerate(names):
        drop(home.landing, name, {**WHOLE, "corpus": f"글 {number}"})
        automation.tick(platform)
        assert platform.run("data", name).success
    digests = {name: latest(platform.instance, AssetKey("corpus"), name) for name in names}
    database = server.run("psql", "-At", "-d", "postgres", "-c", "SELECT datname FROM pg_database").split()[-1]
    backup = server.run("pg_dump", "--no-owner", database)
    restored = server.database("restored")
    server.run("psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", "restored", text=backup)

    on(home, restored)
    with DagsterInstance.get() as instance:
        again = PlatformUnderTest(home, instance, platform.definitions)
        assert instance.get_dynamic_partitions("release") == names
        assert automation.keys(automation.tick(again)) == [], "no drop is taken for new"
        for name in names:
            assert again.run("data", name).success
            assert latest(instance, AssetKey("corpus"), name) == digests[name], "the same request, and so reused"
