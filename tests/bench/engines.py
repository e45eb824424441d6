"""The corpus chain on each engine of one machine: throughput with start-up apart, and memory as the corpus grows."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench.peers import ours
from tests.bench.synthetic import write_synthetic
from trainers.contract import Needs
from trainers.contract.recipe.data import CorpusSection

ENGINES = {
    "process": Needs(cpu=1, engine="pool"),
    "pool": Needs(cpu=2, memory="4Gi", engine="pool"),
    "ray": Needs(cpu=2, memory="4Gi", engine="ray"),
}
"""What each row is measured with: cores and memory are the setting that stays the same whatever the corpus' size."""
_ROUNDS = 3
_BETWEEN = {"clean": ("blocks",), "hash": ("parts-*",), "join": ("near-*",), "write": ("written",)}
"""Folders between the steps, by the step that leaves them."""
Child = Callable[[str, Path], dict[str, Any]]
"""Measures a row on a file, in a process of its own."""


def measure(engine: str, path: Path, work: Path) -> dict[str, Any]:
    """The whole chain: documents, CPU seconds of its tasks, peaks, and bytes a document between the steps."""
    ours(path, work, CorpusSection(), ENGINES[engine])
    figures = json.loads((work / "timings.json").read_text())
    documents = sum(1 for _ in path.open("rb"))
    left = {
        step: sum(
            file.stat().st_size for name in names for file in (work / "work").glob(f"{name}/**/*") if file.is_file()
        )
        for step, names in _BETWEEN.items()
    }
    return {
        "documents": documents,
        "task cpu seconds": round(sum(n for name, n in figures.items() if name.endswith("cpu_seconds")), 2),
        "peak MB of a worker": round(figures["peak_bytes"] / 1e6),
        "peak MB of the driver": round(figures["driver_peak_bytes"] / 1e6),
        "bytes a document between the steps": {step: round(size / documents, 1) for step, size in left.items()},
        "seconds a GB": {
            step: round(figures[f"{step}_cpu_seconds"] / path.stat().st_size * 1e9, 2) for step in _BETWEEN
        },
    }


def engines(small: Path, big: Path, child: Child) -> dict[str, Any]:
    """Megabytes a second of what the big file has more than the small one; what is left of the small one is start-up.

    Of several rounds, in turns, the quickest of each: what else the machine does makes them slower, never quicker.
    """
    sizes = [path.stat().st_size / 1e6 for path in (small, big)]
    rows: dict[str, Any] = {}
    seconds = {name: [float("inf"), float("inf")] for name in ENGINES}
    for _ in range(_ROUNDS):
        for name in ENGINES:
            for number, path in enumerate((small, big)):
                rows[name] = child(f"engine/{name}", path)
                seconds[name][number] = min(seconds[name][number], rows[name]["wall seconds"])
    for name, (little, much) in seconds.items():
        rate = (sizes[1] - sizes[0]) / (much - little)
        rows[name] |= {"MB/s": round(rate, 2), "start-up seconds": round(little - sizes[0] / rate, 2)}
    rows["ray over pool"] = round(rows["ray"]["MB/s"] / rows["pool"]["MB/s"], 3)
    rows["two processes over one"] = round(rows["pool"]["MB/s"] / rows["process"]["MB/s"], 3)
    return rows


def growth(source: Path, gigabytes: Sequence[float], child: Child) -> dict[str, Any]:
    """The pool on synthetic corpora of these sizes, one after the other."""
    rows = {}
    for size in gigabytes:
        path = source.with_name(f"synthetic-{size:g}.jsonl")
        write_synthetic(source, path, int(size * 1e9))
        rows[f"{size:g} GB"] = child("engine/pool", path)
        path.unlink()
    return rows
