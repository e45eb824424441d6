"""Per-item results of all stages, and every figure made of them, with paired bootstrap intervals."""

import math
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from trainers.contract import Interval

RESAMPLES = 1000
HIGHER_IS_BETTER = {
    "accuracy": True,
    "macro_accuracy": True,
    "bits_per_byte": False,
    "reward_margin": True,
    "rate": False,
    "win_rate": True,
    "agreement": True,
}


SHARES = {"accuracy", "macro_accuracy", "rate", "win_rate", "agreement"}
"""Measures that are shares of 1."""


def form_of(measure: str) -> str:
    """How `format` writes a measure's figures."""
    return ".1%" if measure in SHARES else ".3f"


@dataclass(frozen=True)
class ItemScore:
    """One item's result. A figure is sum(value) / sum(weight) over its rows: right / 1, or bits / bytes."""

    suite: str
    measure: str
    item: str
    value: float
    weight: float = 1.0
    prediction: str = ""
    answer: str = ""
    chance: float | None = None
    """What a guess would have: one of so many choices; None where nothing is offered."""

    @property
    def is_finite(self) -> bool:
        """False for NaN and infinity, which no figure may hide."""
        return math.isfinite(self.value)

    def to_json(self) -> dict[str, object]:
        """Plain values, as kept between attempts."""
        return asdict(self)


@lru_cache(maxsize=8)
def _draws(items: int, seed: int) -> np.ndarray:
    """(RESAMPLES, items) counts: how often each item is drawn. The same for every stage, so that pairs stay pairs."""
    generator = np.random.default_rng([seed, items])
    return generator.multinomial(items, np.full(items, 1 / items), size=RESAMPLES).astype(np.float64)


class Results:
    """Rows by suite and stage; `groups` are virtual suites that pool the rows of several."""

    def __init__(self, rows: dict[str, list[ItemScore]], groups: dict[str, list[str]], seed: int):
        self._seed = seed
        self.stages = list(rows)
        self.not_finite = {
            stage: [row for row in stage_rows if not row.is_finite] for stage, stage_rows in rows.items()
        }
        self._rows: dict[tuple[str, str], dict[str, ItemScore]] = {}
        self.measures: dict[str, str] = {}
        for stage, stage_rows in rows.items():
            for row in stage_rows:
                self.measures[row.suite] = row.measure
                if row.is_finite:
                    self._rows.setdefault((row.suite, stage), {})[f"{row.suite}\0{row.item}"] = row
        for group, members in groups.items():
            for stage in self.stages:
                pooled = {key: row for suite in members for key, row in self.rows(suite, stage).items()}
                if pooled:
                    self._rows[group, stage] = pooled
                    self.measures[group] = self.measures[members[0]]

    @property
    def suites(self) -> list[str]:
        """Every suite and group that has a figure, sorted."""
        return sorted({suite for suite, _ in self._rows})

    def has(self, suite: str, *stages: str) -> bool:
        """True where each of the stages has a figure."""
        return all((suite, stage) in self._rows for stage in stages)

    def rows(self, suite: str, stage: str) -> dict[str, ItemScore]:
        """Rows by item; empty where there are none."""
        return self._rows.get((suite, stage), {})

    def chance(self, suite: str) -> float | None:
        """The figure of guessing; None for a suite of which an item offers nothing to choose from."""
        rows = next((rows for (name, _), rows in self._rows.items() if name == suite), {}).values()
        guesses = [row.chance * row.weight for row in rows if row.chance is not None]
        return sum(guesses) / sum(row.weight for row in rows) if guesses and len(guesses) == len(rows) else None

    def no_better_than_chance(self, suite: str, stage: str) -> bool:
        """True where guessing lies in the figure's interval, or above it."""
        guess = self.chance(suite)
        return guess is not None and self.figure(suite, stage).low <= guess

    def higher_is_better(self, suite: str) -> bool:
        """Which way is up."""
        return HIGHER_IS_BETTER[self.measures[suite]]

    def figure(self, suite: str, stage: str) -> Interval:
        """A stage's figure with its percentile bootstrap interval (95%, items resampled)."""
        (samples, value), n = self._sampled(suite, stage, sorted(self.rows(suite, stage)))
        return _interval(value, samples, n)

    def difference(self, suite: str, stage: str, against: str) -> Interval:
        """`stage` minus `against` over the items both have, the same items drawn for both (paired bootstrap)."""
        ours, theirs, n = self._paired(suite, stage, against)
        return _interval(ours[1] - theirs[1], ours[0] - theirs[0], n)

    def ratio(self, suite: str, stage: str, against: str) -> Interval:
        """`stage` / `against`, paired as in `difference`."""
        ours, theirs, n = self._paired(suite, stage, against)
        return _interval(ours[1] / theirs[1], ours[0] / theirs[0], n)

    def flips(self, suite: str, stage: str, against: str) -> tuple[list[ItemScore], list[ItemScore]]:
        """Items that were right before and are wrong now, and the other way round (accuracy only)."""
        before, now = self.rows(suite, against), self.rows(suite, stage)
        both = [key for key in sorted(now) if key in before]
        lost = [now[key] for key in both if before[key].value > now[key].value]
        won = [now[key] for key in both if before[key].value < now[key].value]
        return lost, won

    def _paired(
        self, suite: str, stage: str, against: str
    ) -> tuple[tuple[np.ndarray, float], tuple[np.ndarray, float], int]:
        both = sorted(self.rows(suite, stage).keys() & self.rows(suite, against).keys())
        ours, n = self._sampled(suite, stage, both)
        theirs, _ = self._sampled(suite, against, both)
        return ours, theirs, n

    def _sampled(self, suite: str, stage: str, keys: list[str]) -> tuple[tuple[np.ndarray, float], int]:
        rows = self.rows(suite, stage)
        values = np.array([rows[key].value for key in keys])
        weights = np.array([rows[key].weight for key in keys])
        draws = _draws(len(keys), self._seed)
        return (draws @ values / (draws @ weights), float(values.sum() / weights.sum())), len(keys)


def _interval(value: float, samples: np.ndarray, n: int) -> Interval:
    low, high = np.quantile(samples, [0.025, 0.975])
    return Interval(value=round(value, 6), low=round(float(low), 6), high=round(float(high), 6), n=n)
