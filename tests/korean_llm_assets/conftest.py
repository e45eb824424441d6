"""A platform on an empty folder, with stages that are real processes but train nothing; a receiver of alerts."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    DagsterInstance,
    Definitions,
    ExecuteInProcessResult,
    MultiPartitionKey,
    in_process_executor,
    load_assets_from_modules,
)

from korean_llm_assets import alerts
from korean_llm_assets.home import Home
from tests.support.alert_receiver import Receiver, slack_at
from tests.support.served import ROOT, Served, own_recipes, served, small_release
from trainers.contract import Attempt, BenchmarkDetails, Manifest, Needs, StageRequest

SMALL_STAGES = Path(__file__).parents[1] / "support" / "small_stages.py"


def drop(landing: Path, name: str, kinds: dict[str, str], ready: bool = True) -> Path:
    """Write a release into the landing area: kind -> content of its one file."""
    for kind, text in kinds.items():
        folder = landing / name / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.jsonl").write_text(text, encoding="utf-8")
    if ready:
        (landing / name / "_READY").touch()
    return landing / name


WHOLE = {"corpus": "글", "instructions": "질문", "preferences": "쌍", "benchmarks": "문제"}


@dataclass
class PlatformUnderTest:
    """Everything a test of the assets needs."""

    home: Home
    instance: DagsterInstance
    definitions: Definitions

    def run(self, job: str, partition: str | MultiPartitionKey, **options: object) -> ExecuteInProcessResult:
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, partition_key=partition, run_config=quiet, raise_on_error=False, **options
        )


def define(anew: pytest.MonkeyPatch | None = None, compute: Any = None) -> Definitions:
    """The code location's definitions with the small stages.

    Args:
        anew: read the recipes again, as a new process would; the modules of before come back with its undoing, as
            other tests of this process hold them.
        compute: takes the place of this machine's.
    """
    if anew is not None:
        for name in [name for name in sys.modules if name.startswith("korean_llm_assets")]:
            anew.delitem(sys.modules, name)
    from korean_llm_assets.assets import data, deployment, evaluation, training
    from korean_llm_assets.assets.landing_assets import LANDING_ASSETS
    from korean_llm_assets.assets.recipe_assets import RECIPE_ASSETS
    from korean_llm_assets.resources import Platform, resources
    from korean_llm_assets.triggers.jobs import JOBS
    from korean_llm_assets.triggers.sensors import SENSORS

    platform = Platform.from_environment()
    # Tracking is not what these tests are about, and importing MLflow takes each stage seconds.
    environment = {**platform.compute.environment, "MLFLOW_TRACKING_URI": ""}
    command = (sys.executable, str(SMALL_STAGES))
    small = replace(platform.compute, command=command, environment=environment, prepare=lambda: None)
    return Definitions(
        assets=[*load_assets_from_modules([data, training, evaluation, deployment]), *RECIPE_ASSETS, *LANDING_ASSETS],
        jobs=JOBS,
        sensors=SENSORS,
        resources=resources(replace(platform, compute=compute or small)),
        executor=in_process_executor,
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("KOREAN_LLM_HOME", str(tmp_path / "var"))
    home = Home.from_environment()
    for name, value in home.environment().items():
        monkeypatch.setenv(name, value)
    return home.prepare()


@pytest.fixture
def platform(home: Home) -> Iterator[PlatformUnderTest]:
    with DagsterInstance.get() as instance:
        yield PlatformUnderTest(home, instance, define())


@pytest.fixture(scope="session")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The UI command on a home of its own, with releases that wait for somebody to make them."""
    home = Home(tmp_path_factory.mktemp("home"))
    recipes = own_recipes(home, tiny={"automation": "ask"})  # no model is trained here
    releases = [f"door-{name}" for name in ("ui", "cli", "launch", "backfill-1", "backfill-2", "browser", "operations")]
    for name in releases:
        small_release(home, name, text=name)
    variables = {
        "KOREAN_LLM_RECIPES": str(recipes),
        "KOREAN_LLM_MODELS": "tiny,qwen2.5-7b,qwen2.5-72b",
        "KOREAN_LLM_QUIET_SECONDS": "86400",  # without a marker nothing is complete while the tests run
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "support" / "scripted_models"), str(ROOT)]),
    }
    with served(home, **variables) as running:
        for name in releases:
            running.command("korean_llm_assets", "release", name)
        yield running


def ended(*attempts: Attempt, gpus: int, **more: Any) -> Manifest:
    """The manifest of a stage that ended with the last of these attempts."""
    request = StageRequest(stage="sft", stage_version=1, model="tiny", release="r1", needs=Needs(gpus=gpus, cpu=4))
    return Manifest(
        request=request,
        request_digest=request.digest,
        files=(),
        metrics={},
        details=BenchmarkDetails(suites={}, formats={}),
        attempts=list(attempts),
        **more,
    )


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with slack_at(monkeypatch) as server:
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery may take a second, not ten."""
    monkeypatch.setattr(alerts, "_SECONDS", 1)
