"""What was spent, and what a remake will cost: hours, GPU-hours, money; from manifests or the planner."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from dagster import MetadataValue

from korean_llm_assets.compute.profiles import Price
from korean_llm_assets.partitions.keys import stage_of
from korean_llm_assets.partitions.recipes import model_recipes
from korean_llm_assets.partitions.requests import section_and_seed
from trainers.contract import Attempt, Manifest, StageRequest, lost_seconds
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.markdown import table
from trainers.contract.planner import Gpu, recipe_gpu_hours

_HOUR = 3600


@dataclass(frozen=True)
class Cost:
    """What one artifact took, over all attempts. GPU-seconds are zero for stages without GPUs.

    Work that was not finished (it failed for good, or goes on) asked for GPUs and has neither used nor lost them yet.
    """

    asset: str
    model: str
    release: str
    seconds: float
    allocated: float
    used: float
    lost: float
    core_seconds: float = 0.0
    finished: bool = True

    @classmethod
    def of(cls, manifest: Manifest) -> "Cost":
        """What a manifest says."""
        request, gpu = manifest.request, manifest.gpu_seconds
        seconds = manifest.timings.get("seconds", 0.0)
        place = (request.asset, request.model or "-", request.release or "-")
        return cls(*place, seconds, gpu.asked, gpu.used, gpu.lost, seconds * request.needs.cpu * request.needs.nodes)

    def money(self, price: Price) -> float:
        """US dollars."""
        return self.allocated / _HOUR * price.gpu if self.allocated else self.core_seconds / _HOUR * price.core


def all_costs(store: ArtifactStore) -> Iterator[Cost]:
    """Every artifact's cost, and that of work without an artifact as far as its attempts have ended. Reads small files
    only; what housekeeping has removed is not counted."""
    yield from map(Cost.of, store.manifests())
    yield from (_unfinished(request, attempts) for request, attempts in store.unfinished())


def _unfinished(request: StageRequest, attempts: Iterable[Attempt]) -> Cost:
    seconds = sum(attempt.ended - attempt.started for attempt in attempts if attempt.ended)
    needs, place = request.needs, (request.asset, request.model or "-", request.release or "-")
    cores = seconds * needs.cpu * needs.nodes
    return Cost(*place, seconds, seconds * needs.gpus, 0.0, 0.0, cores, finished=False)


def report(rows: Iterable[Cost], price: Price, by: Sequence[str] = ("model", "release")) -> str:
    """Totals as Markdown."""
    return "\n".join(table(*totals(rows, price, by)))


def totals(
    rows: Iterable[Cost], price: Price, by: Sequence[str] = ("model", "release")
) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Columns and lines of a table; goodput is the share of the GPU time asked for that made the result."""
    groups: dict[tuple[str, ...], list[Cost]] = {}
    for row in rows:
        groups.setdefault(tuple(getattr(row, name) for name in by), []).append(row)
    columns = (*by, "artifacts", "hours", "GPU-hours", "lost to restarts", "unfinished", "goodput", "US dollars")
    lines: list[Sequence[str]] = []
    everything = [row for group in groups.values() for row in group]
    for key, group in [*sorted(groups.items()), (("in all", *[""] * (len(by) - 1)), everything)]:
        allocated, used, lost = (sum(getattr(row, name) for row in group) for name in ("allocated", "used", "lost"))
        goodput = f"{used / allocated:.1%}" if allocated else "no GPU"
        hours = sum(row.seconds for row in group) / _HOUR
        money = sum(row.money(price) for row in group)
        finished = f"{sum(row.finished for row in group)}"
        numbers = (
            f"{value:.2f}" for value in (hours, allocated / _HOUR, lost / _HOUR, (allocated - used - lost) / _HOUR)
        )
        lines.append((*key, finished, *numbers, goodput, f"{money:.2f}"))
    return columns, lines


def cost_metadata(manifest: Manifest, price: Price) -> dict[str, Any]:
    """What an artifact took to make, for its materialization; where it was reused, nothing of this was spent again."""
    cost, attempts = Cost.of(manifest), manifest.attempts
    lost = lost_seconds(attempts)
    elapsed = sum((attempt.ended or attempt.started) - attempt.started for attempt in attempts)
    metadata = {
        "US dollars": MetadataValue.float(round(cost.money(price), 4)),
        "seconds lost to restarts": MetadataValue.float(round(lost, 3)),
        "goodput": MetadataValue.float(round(1 - lost / elapsed, 6) if elapsed else 1.0),
    }
    if cost.allocated:
        hours = {"asked": cost.allocated, "used": cost.used, "lost to restarts": cost.lost}
        metadata |= {f"GPU hours {name}": MetadataValue.float(seconds / _HOUR) for name, seconds in hours.items()}
    return metadata


def totals_metadata(store: ArtifactStore, model: str, release: str, price: Price) -> dict[str, Any]:
    """What a model took so far: one release by asset (with its data and the base model), and all by release."""
    rows = list(all_costs(store))
    of_release = [row for row in rows if row.model in (model, "-") and row.release in (release, "-")]
    of_model = [row for row in rows if row.model == model]
    return {
        "cost of this release": MetadataValue.md(report(of_release, price, by=("asset",))),
        "cost of this model": MetadataValue.md(report(of_model, price, by=("release",))),
    }


@dataclass(frozen=True)
class Estimate:
    """What one cell is expected to take, and from where that is known."""

    asset: str
    model: str
    hours: float
    gpu_hours: float
    source: str


def estimate(assets: Sequence[str], model: str, past: Sequence[Cost], gpu: Gpu | None) -> list[Estimate]:
    """Hours of each asset for one release: the mean of past runs of this model, else the planner's arithmetic.

    Args:
        gpu: what it would run on; None where there is none.

    Raises:
        DoesNotFit: it never ran, and cannot run on such GPUs.
    """
    estimates = []
    for asset in assets:
        rows = [row for row in past if row.asset == asset and row.model == model and row.finished]
        stage = stage_of(asset)
        gpus = section_and_seed(stage, model)[0].needs.gpus
        if rows:
            hours = mean(row.seconds for row in rows) / _HOUR
            gpu_hours = mean(row.allocated for row in rows) / _HOUR
            estimates.append(Estimate(asset, model, hours, gpu_hours, f"the mean of {len(rows)} past runs"))
        elif stage.trains and gpus and gpu is not None:
            gpu_hours = recipe_gpu_hours(model_recipes()[model], stage.name, gpu)
            estimates.append(Estimate(asset, model, gpu_hours / gpus, gpu_hours, "the planner's arithmetic"))
        else:
            estimates.append(Estimate(asset, model, 0.0, 0.0, "unknown: no past run, and nothing to plan from"))
    return estimates
