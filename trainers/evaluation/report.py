"""The report of one evaluation: JSON for machines, Markdown for Dagster's UI, items as parquet; see report_page.py."""

import json
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from trainers.contract import STAGES, GateResult, Interval
from trainers.contract.markdown import escaped, table
from trainers.evaluation.results import SHARES, ItemScore, Results

_PALETTE = ("#7f8fa6", "#3f7cac", "#3a9d6e", "#d1603d", "#c2a03a", "#5d6d7e")
_GUESS = "no better than chance"
MEASURE_NAMES = {
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
    held_out: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Held-out losses by stage, as `losses`."""

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
        """Write report.json, report.md and items.parquet; returns the Markdown."""
        markdown = self.markdown()
        (folder / "report.json").write_text(
            json.dumps(self.to_json(), ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n"
        )
        (folder / "report.md").write_text(markdown)
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
            "chance": {suite: self.results.chance(suite) for suite in self.results.suites},
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
            "held_out_losses": self.held_out,
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
            cells = [self._shown(suite, stage, by_stage[stage]) if stage in by_stage else "" for stage in stages]
            figures.append((suite, MEASURE_NAMES[measure], items, *cells))
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

    def _shown(self, suite: str, stage: str, figure: Interval) -> str:
        if self.results.measures[suite] not in SHARES:
            return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"
        shown = f"{figure.value:.1%} ({figure.low:.1%}–{figure.high:.1%})"
        return f"{shown}: {_GUESS}" if self.results.no_better_than_chance(suite, stage) else shown

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
