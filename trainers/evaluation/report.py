"""The report of one evaluation: JSON for machines, Markdown for Dagster's UI, one HTML page, items as parquet."""

import json
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from trainers.contract import STAGES, GateResult, Interval
from trainers.contract.charts import FEWEST_AXES, Chart, bars, lines, radar
from trainers.contract.markdown import escaped, table
from trainers.evaluation.results import ItemScore, Results
from trainers.runner.page import Outcome, PageSection, Table, page

_PALETTE = ("#7f8fa6", "#3f7cac", "#3a9d6e", "#d1603d", "#c2a03a", "#5d6d7e")
_SHOWN_FLIPS = 10
_SHARES = {"accuracy", "macro_accuracy", "rate", "win_rate", "agreement"}
_MEASURE_NAMES = {
    "accuracy": "accuracy",
    "macro_accuracy": "accuracy, mean of subjects",
    "bits_per_byte": "bits per byte (lower is better)",
    "win_rate": "share of comparisons won, a draw is half",
    "agreement": "both orders of the answers judged alike",
    "rate": "rate (lower is better)",
    "reward_margin": "reward margin over SFT (nats)",
}


def parents() -> dict[str, str]:
    """Column of the report -> that of the model which training went on with."""
    return {str(stage.column): str(stage.parent.column) for stage in STAGES["evaluate"].models if stage.parent}


def subject() -> str:
    """The column of the model that a report is about: the one that is exported."""
    return STAGES["export"].subject


def colours() -> dict[str, str]:
    """One of each column, the same in every chart."""
    models = (str(stage.column) for stage in STAGES["evaluate"].models)
    return {"unigram": "#9e9e9e", **dict(zip(models, cycle(_PALETTE), strict=False)), "champion": "#8e6bbf"}


@dataclass
class Sample:
    """One prompt, and what each stage made of it."""

    prompt: str
    answer: str
    replies: dict[str, str] = field(default_factory=dict)


@dataclass
class Report:
    """Everything a report shows."""

    title: str
    results: Results
    gate: list[GateResult]
    samples: list[Sample]
    losses: dict[str, list[tuple[int, float]]]
    facts: dict[str, Any]
    evidence: list[dict[str, Any]] = field(default_factory=list)
    """Of contamination."""

    @property
    def passed(self) -> bool:
        """True where every condition of the gate holds."""
        return all(result.passed for result in self.gate)

    def figures(self) -> dict[str, dict[str, Interval]]:
        """Suite -> stage -> figure."""
        return {
            suite: {
                stage: self.results.figure(suite, stage)
                for stage in self.results.stages
                if self.results.has(suite, stage)
            }
            for suite in self.results.suites
        }

    def comparisons(self) -> list[tuple[str, str, str, Interval]]:
        """(suite, stage, compared with, difference): each stage against its parent, the base and the champion."""
        differences = []
        for suite in self.results.suites:
            for stage, parent in parents().items():
                for other in dict.fromkeys((parent, "base", "champion")):
                    if self.results.has(suite, stage, other):
                        differences.append((suite, stage, other, self.results.difference(suite, stage, other)))
        return differences

    def flips(self) -> list[tuple[str, str, str, list[ItemScore], list[ItemScore]]]:
        """(suite, stage, compared with, lost, won) where any item of a single suite changed sides."""
        flips = []
        for suite in self.results.suites:
            if self.results.measures[suite] != "accuracy" or suite.startswith("all/"):
                continue
            for stage, parent in parents().items():
                for other in (parent, "champion"):
                    if self.results.has(suite, stage, other):
                        lost, won = self.results.flips(suite, stage, other)
                        if lost or won:
                            flips.append((suite, stage, other, lost, won))
        return flips

    def write(self, folder: Path) -> str:
        """Write report.json, report.md, report.html and items.parquet; returns the Markdown."""
        markdown = self.markdown()
        (folder / "report.json").write_text(
            json.dumps(self.to_json(), ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n"
        )
        (folder / "report.md").write_text(markdown)
        (folder / "report.html").write_text(self.html())
        self._write_items(folder / "items.parquet")
        return markdown

    def to_json(self) -> dict[str, Any]:
        """The whole report as plain JSON."""
        return {
            "title": self.title,
            "facts": self.facts,
            "gate_passed": self.passed,
            "gate": [result.model_dump() for result in self.gate],
            "suites": {
                suite: {stage: figure.model_dump() for stage, figure in by_stage.items()}
                for suite, by_stage in self.figures().items()
            },
            "measures": {suite: self.results.measures[suite] for suite in self.results.suites},
            "comparisons": [
                {"suite": suite, "stage": stage, "against": other, "difference": difference.model_dump()}
                for suite, stage, other, difference in self.comparisons()
            ],
            "flips": [
                {
                    "suite": suite,
                    "stage": stage,
                    "against": other,
                    "right_to_wrong": [row.item for row in lost],
                    "wrong_to_right": [row.item for row in won],
                }
                for suite, stage, other, lost, won in self.flips()
            ],
            "samples": [vars(sample) for sample in self.samples],
            "losses": self.losses,
            "contamination": self.evidence,
        }

    def markdown(self) -> str:
        """For Dagster's UI and for people with a pager."""
        stages = self.results.stages
        gate = [(g.name, "yes" if g.passed else "NO", g.explanation) for g in self.gate]
        figures = []
        for suite, by_stage in self.figures().items():
            measure = self.results.measures[suite]
            items = next(iter(by_stage.values())).n
            cells = [_shown(by_stage[stage], measure) if stage in by_stage else "" for stage in stages]
            figures.append((suite, _MEASURE_NAMES[measure], items, *cells))
        text = [f"# {escaped(self.title)}", "", f"Gate: **{'passed' if self.passed else 'FAILED'}**", ""]
        text += table(["condition", "met", "what was measured"], gate)
        text += ["", "Figures with their 95% bootstrap intervals:", ""]
        text += table(["suite", "measure", "items", *stages], figures)
        text += ["", "Items that changed sides (right to wrong / wrong to right):", ""]
        text += [
            f"- {escaped(suite)}: {stage} against {other}: {len(lost)} / {len(won)}"
            for suite, stage, other, lost, won in self.flips()
        ]
        for sample in self.samples:
            text += ["", f"**{escaped(sample.prompt)}** (right: {escaped(sample.answer)})", ""]
            text += [f"- {stage}: {escaped(reply)}" for stage, reply in sample.replies.items()]
        return "\n".join(text) + "\n"

    def html(self) -> str:
        """One page that needs nothing else."""
        differences = [
            [suite, stage, other, f"{d.value:+.4f}", f"{d.low:+.4f} to {d.high:+.4f}", str(d.n)]
            for suite, stage, other, d in self.comparisons()
        ]
        flips = [
            [suite, f"{stage} against {other}", way, row.item, row.prediction, row.answer]
            for suite, stage, other, lost, won in self.flips()
            for way, rows in (("right to wrong", lost), ("wrong to right", won))
            for row in rows[:_SHOWN_FLIPS]
        ]
        replies = [s for s in self.results.stages if any(s in sample.replies for sample in self.samples)]
        samples = [[x.prompt, x.answer, *(x.replies.get(stage, "") for stage in replies)] for x in self.samples]
        gate = [["met" if g.passed else "NOT MET", g.name, g.explanation] for g in self.gate]
        evidence = [list(map(str, row.values())) for row in self.evidence]
        facts = [[key, str(value)] for key, value in self.facts.items()]
        sections = [
            PageSection("Gate", table=Table(["", "condition", "what was measured"], gate)),
            PageSection("Suites at a glance", self._radar()),
            PageSection("Figures (bar: value; line: 95% bootstrap interval)", self._bars()),
            PageSection("Training", self._curves()),
            PageSection(
                "Differences (paired bootstrap)",
                table=Table(["suite", "stage", "against", "difference", "95%", "items"], differences),
            ),
            PageSection(
                f"Flips (the first {_SHOWN_FLIPS} of each; all are in items.parquet)",
                table=Table(["suite", "stage", "way", "item", "now", "right"], flips),
            ),
            PageSection("Samples, greedy", table=Table(["prompt", "right", *replies], samples)),
            PageSection(
                "Benchmark items in the training corpus",
                table=Table(["item", "document", "source", "piece"], evidence),
            ),
            PageSection("Facts", table=Table(["", ""], facts)),
        ]
        return page(self.title, sections, Outcome("Gate passed" if self.passed else "Gate FAILED", self.passed))

    def _bars(self) -> list[Chart]:
        charts = []
        for suite, by_stage in self.figures().items():
            measure = self.results.measures[suite]
            if measure == "reward_margin":  # it may be below 0
                continue
            form, top = (".1%", 1.0) if measure in _SHARES else (".3f", 0.0)
            charts.append(bars(f"{suite}: {_MEASURE_NAMES[measure]}", by_stage, form, top=top, colours=colours()))
        return charts

    def _curves(self) -> list[Chart]:
        return [
            lines(f"{stage}: training loss", {stage: points}, "loss", colours())
            for stage, points in self.losses.items()
            if points
        ]

    def _radar(self) -> list[Chart]:
        """Of the suites with an accuracy that all models share; nothing where these are too few."""
        models = [stage for stage in self.results.stages if stage != "unigram"]
        shares = {
            suite: {stage: by_stage[stage].value for stage in models}
            for suite, by_stage in self.figures().items()
            if self.results.measures[suite] == "accuracy" and by_stage.keys() >= set(models)
            if not suite.startswith("all/")
        }
        enough = len(shares) >= FEWEST_AXES
        return [radar("accuracy by suite; rings are 25% apart", shares, colours())] if enough else []

    def _write_items(self, path: Path) -> None:
        rows = [
            {"stage": stage, **row.to_json()}
            for suite in self.results.suites
            if not suite.startswith("all/")
            for stage in self.results.stages
            for row in self.results.rows(suite, stage).values()
        ]
        rows += [{"stage": stage, **row.to_json()} for stage, bad in self.results.not_finite.items() for row in bad]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, compression="zstd")


def _shown(figure: Interval, measure: str) -> str:
    if measure in _SHARES:
        return f"{figure.value:.1%} ({figure.low:.1%}–{figure.high:.1%})"
    return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"
