"""What was spent, and what a remake will cost: hours, GPU-hours, money; from manifests or the planner."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from korean_llm_assets.partitions import stage_of
from korean_llm_assets.requests import settings
from trainers.artifacts import MANIFEST, ArtifactStore
from trainers.contract import STAGES, BadRequest, Manifest

_PLANNED = ("cpt", "sft", "rlhf")
_HOUR = 3600


@dataclass(frozen=True)
class Spent:
    """What one artifact took. GPU-seconds are zero for stages without GPUs."""

    asset: str
    model: str
    release: str
    seconds: float
    asked: float
    used: float
    lost: float

    def money(self, price: float) -> float:
        """US dollars at a price per GPU and hour."""
        return self.asked / _HOUR * price


def spent(store: ArtifactStore) -> Iterator[Spent]:
    """Every committed artifact's cost; reads manifests only, not the files."""
    for stage in STAGES.values():
        depth = "/".join(["*"] * (stage.by_model + stage.by_release + 1))
        for path in sorted(store.root.glob(f"{stage.asset}/{depth}/{MANIFEST}")):
            if path.parent.suffix == ".partial":
                continue
            manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
            gpu, request = manifest.gpu_seconds, manifest.request
            seconds = manifest.timings.get("seconds", 0.0)
            model, release = request.model or "-", request.release or "-"
            yield Spent(stage.asset, model, release, seconds, gpu.asked, gpu.used, gpu.lost)


def report(rows: Iterable[Spent], price: float) -> str:
    """Totals by model and release as Markdown; goodput is the share of the GPU time asked for that made the result."""
    totals: dict[tuple[str, str], list[Spent]] = {}
    for row in rows:
        totals.setdefault((row.model, row.release), []).append(row)
    lines = ["| model | release | stages | hours | GPU-hours | lost to restarts | goodput | US dollars |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for (model, release), group in sorted(totals.items()):
        asked, used, lost = (sum(getattr(row, name) for row in group) for name in ("asked", "used", "lost"))
        goodput = f"{used / asked:.1%}" if asked else "no GPU"
        hours = sum(row.seconds for row in group) / _HOUR
        lines.append(
            f"| {model} | {release} | {len(group)} | {hours:.2f} | {asked / _HOUR:.2f} | {lost / _HOUR:.2f} "
            f"| {goodput} | {sum(row.money(price) for row in group):.2f} |"
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class Estimate:
    """What one cell is expected to take, and from where that is known."""

    asset: str
    model: str
    hours: float
    gpu_hours: float
    source: str


def estimate(assets: Sequence[str], model: str, past: Sequence[Spent]) -> list[Estimate]:
    """Hours of each asset for one release: the mean of past runs of this model, else the planner's arithmetic."""
    found = []
    for asset in assets:
        rows = [row for row in past if row.asset == asset and row.model == model]
        stage = stage_of(asset)
        gpus = settings(stage, model)[0].needs.gpus
        if rows:
            hours = mean(row.seconds for row in rows) / _HOUR
            gpu_hours = mean(row.asked for row in rows) / _HOUR
            found.append(Estimate(asset, model, hours, gpu_hours, f"the mean of {len(rows)} past runs"))
        elif stage.name in _PLANNED and gpus:
            gpu_hours = _planned_gpu_hours(model, stage.name)
            found.append(Estimate(asset, model, gpu_hours / gpus, gpu_hours, "the planner's arithmetic"))
        else:
            found.append(Estimate(asset, model, 0.0, 0.0, "unknown: no past run, and nothing to plan from"))
    return found


def _planned_gpu_hours(model: str, stage: str) -> float:
    """The trainers' planner, run as the command it is (the wall between the worlds).

    It plans all stages on one number of GPUs, and refuses what does not fit: so the recipe's largest is asked for.
    """
    gpus = max(settings(STAGES[name], model)[0].needs.gpus for name in _PLANNED)
    command = [sys.executable, "-m", "trainers", "plan", "--recipe", model, "--gpus", str(gpus), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BadRequest(f"the planner says of {model}: {done.stderr.strip()}")
    planned: dict[str, Any] = json.loads(done.stdout)
    hours: float = planned["stages"][stage]["hours"]
    return hours * gpus


def estimate_table(estimates: Sequence[Estimate], releases: int, price: float) -> str:
    """The estimate for people, in all and by asset."""
    lines = []
    for row in estimates:
        gpu_hours = row.gpu_hours * releases
        lines.append(
            f"{row.asset:<16} {row.model:<14} x {releases} release(s)  {row.hours * releases:8.2f} h  "
            f"{gpu_hours:8.2f} GPU-h  {gpu_hours * price:10.2f} US dollars  ({row.source})"
        )
    total = sum(row.gpu_hours for row in estimates) * releases
    lines.append(f"in all {total:.2f} GPU-hours, {total * price:.2f} US dollars at {price:.2f} per GPU-hour")
    return "\n".join(lines)
