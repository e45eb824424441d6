"""The evaluation as tables of the tracker: of the items, and of the figures. MLflow shows those of runs together."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainers.benchmarks.formats import spread
from trainers.evaluation.report import Report, subject
from trainers.runner.tracking import TABLE

_MOST_ITEMS = 5000
"""MLflow's page reads a table whole."""


def write_tables(report: Report, questions: Mapping[tuple[str, str], str], folder: Path) -> list[Path]:
    """Write them; their files. Items are those of the model that the report is about: another run has another's."""
    rows = [
        (row.suite, row.item, questions.get((row.suite, row.item), ""), row.answer, row.prediction, row.value)
        for suite in report.results.suites
        if not suite.startswith("all/")
        for row in report.results.rows(suite, subject()).values()
    ]
    figures = [
        (suite, model, report.results.measures[suite], figure.value, figure.low, figure.high, figure.n)
        for suite, by_model in report.figures().items()
        for model, figure in by_model.items()
    ]
    items = ("suite", "item", "question", "right", "reply", "value")
    return [
        _write(folder / f"items{TABLE}", items, spread(rows, _MOST_ITEMS)),
        _write(folder / f"figures{TABLE}", ("suite", "model", "measure", "value", "low", "high", "items"), figures),
    ]


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    path.write_text(json.dumps({"columns": columns, "data": rows}, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
