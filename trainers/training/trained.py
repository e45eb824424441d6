"""What is known when a training has ended: its history, and the figures that follow from it."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from trainers.contract.files import write_atomically
from trainers.runner.host_memory import HostMemory
from trainers.training.best_step import lowest

_PLOT_POINTS = 200
_TAIL = 0.1


@dataclass
class Trained:
    """What is known when a training has ended."""

    history: list[dict[str, float]]
    steps: int
    epochs: float
    tokens_trained: int
    seconds: float
    steps_here: int
    seconds_saving: float
    step_seconds: float
    host_memory: HostMemory
    best_step: int | None = None
    """Whose weights the model has, where those of the lowest held-out loss are kept; None: the last step's."""
    speeds: list[dict[str, float]] = field(default_factory=list)
    """By step, of this attempt; measured, so no part of the history."""

    @property
    def held_out_loss(self) -> float:
        """Of the weights that the model has; where those are the last step's, over the last tenth of its rows."""
        best = lowest(self.history) if self.best_step is not None else None
        return best[0] if best else self.last("eval_loss")

    def write_history(self, path: Path) -> None:
        """One JSON line per step."""
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in self.history))

    def curve(self, key: str) -> list[tuple[int, float]]:
        """(step, value) of one figure, thinned for a plot; the last point is kept."""
        points = [(int(row["step"]), row[key]) for row in [*self.history, *self.speeds] if key in row]
        every = math.ceil(len(points) / _PLOT_POINTS) or 1
        return points[::-every][::-1]

    def has(self, key: str) -> bool:
        """True where the figure was ever logged."""
        return any(key in row for row in self.history)

    def first(self, key: str) -> float:
        """The mean of a figure over the first tenth of its rows."""
        values = [row[key] for row in self.history if key in row]
        return _mean(values[: max(1, int(len(values) * _TAIL))])

    def last(self, key: str) -> float:
        """The mean of a figure over the last tenth of its rows."""
        values = [row[key] for row in self.history if key in row]
        return _mean(values[-max(1, int(len(values) * _TAIL)) :])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
