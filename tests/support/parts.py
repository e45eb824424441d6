"""The parts of `make prove`: each test is of one, by its folder; and how a part goes on after it was stopped."""

from pathlib import Path

import pytest

PARTS: dict[str, tuple[str, ...]] = {
    "corpus": (
        "trainers/text",
        "trainers/corpus",
        "trainers/conversations",
        "trainers/benchmarks",
        "trainers/sample",
    ),
    "models": (
        "trainers/evaluation",
        "trainers/export",
        "trainers/test_families.py",
        "trainers/training/base_model",
        "trainers/training/test_vocabulary_expansion.py",
        "joined/serving",
        "joined/commands/test_serve.py",
        "korean_llm_assets/serving",
        "bench",
    ),
    "training": ("trainers", "gpu"),
    "cluster": ("cluster", "dagster_deploy", "korean_llm_assets/compute", "joined/compute", "joined/runner"),
    "doors": ("korean_llm_assets", "joined"),
    "trust": (
        "",
        "trainers/contract",
        "korean_llm_assets/landing",
        "korean_llm_assets/test_postgres.py",
        "joined/commands/test_takedown.py",
        "joined/triggers",
    ),
    "seeing": (
        "dagster_deploy/test_monitoring.py",
        "korean_llm_assets/assets/test_presentation.py",
        "korean_llm_assets/assets/test_release_page.py",
        "korean_llm_assets/commands/test_browser.py",
        "korean_llm_assets/commands/test_pages_in_browser.py",
        "korean_llm_assets/test_alerts.py",
        "korean_llm_assets/triggers/test_incidents.py",
        "korean_llm_assets/triggers/test_outbox.py",
        "joined/serving/test_chat.py",
        "joined/test_first_hour.py",
        "trainers/contract/test_page.py",
        "trainers/corpus/test_report_in_browser.py",
        "trainers/evaluation/test_report_in_browser.py",
        "trainers/runner/test_metrics_server.py",
        "trainers/runner/test_reporting.py",
    ),
}
"""Part -> folders and files below tests/; a test is of the part that names the longest piece of its path."""

_TESTS = Path(__file__).parents[1]


def part_of(path: Path) -> str:
    """The part of a test's file."""
    parents = [path, *path.parents]
    named = {_TESTS / place: part for part, places in PARTS.items() for place in places}
    return next(named[parent] for parent in parents if parent in named)


class Resumed:
    """Leaves out the tests that passed before, and notes those that pass, one a line, in a file."""

    def __init__(self, passed: Path):
        self._file = passed
        self._not_passed: set[str] = set()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        before = set(self._file.read_text(encoding="utf-8").splitlines()) if self._file.is_file() else set()
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in before])
        items[:] = [item for item in items if item.nodeid not in before]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._not_passed.add(report.nodeid)  # failed, or skipped: tried again
        elif report.when == "teardown" and report.nodeid not in self._not_passed:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(report.nodeid + "\n")
