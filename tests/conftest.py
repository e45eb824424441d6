"""Fixtures and the closing summary that all tests share."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import chromium
from tests.support.parts import PARTS, Resumed, part_of
from tests.support.real_models import real_model
from trainers.contract import settings
from trainers.contract.variable import Group

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def testdata() -> Path:
    """The folder of real Korean files; tests that need it skip, with the reason, where it is absent."""
    folder = settings.TESTDATA.get() or ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real Korean test data at {folder} (set {settings.TESTDATA.name})")
    return folder


@pytest.fixture(autouse=True, scope="module")
def _recipes_anew() -> None:
    """A process keeps to the recipes that it began with; files of tests share one, and have recipes of their own."""
    if (module := sys.modules.get("korean_llm_assets.partitions.recipes")) is not None:
        module.recipes.cache_clear()


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as GGUF, for tests marked `realmodel`."""
    return real_model("SmolLM2-135M-Instruct")


@pytest.fixture(scope="session")
def gemma3() -> Path:
    """Gemma 3 270M as GGUF, for tests marked `realmodel`."""
    return real_model("gemma-3-270m")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for tests marked `browser`."""
    with chromium() as opened:
        yield opened


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make prove` says."""
    parser.addoption("--part", choices=PARTS, help="only the tests of one part of `make prove`")
    parser.addoption("--passed", type=Path, help="a file of tests that passed before: they are left out, others added")


def pytest_configure(config: pytest.Config) -> None:
    """Go on where a run was stopped."""
    if (passed := config.getoption("--passed")) is not None:
        config.pluginmanager.register(Resumed(passed))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other parts."""
    if (part := config.getoption("--part")) is not None:
        config.hook.pytest_deselected(items=[item for item in items if part_of(item.path) != part])
        items[:] = [item for item in items if part_of(item.path) == part]


@pytest.fixture(autouse=True)
def _no_inherited_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings must not decide a test."""
    own = [variable.name for variable in settings.TABLE.values() if variable.group != Group.TESTS]
    for name in (*own, "MLFLOW_TRACKING_URI", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped, and why."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}")
