"""Fixtures and the closing summary that all tests share."""

from collections import Counter
from pathlib import Path

import pytest

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
