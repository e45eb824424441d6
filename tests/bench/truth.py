"""Scoring a deduplicator against known duplicates, by the rule in shared/data/bench/README.md."""

import gzip
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

SIMILAR = 0.7


@dataclass(frozen=True)
class Score:
    """Shares and what they were counted from."""

    recall: float
    precision: float
    injected: int
    removed: int
    nfd_missed: int

    def row(self) -> dict[str, float]:
        return {"recall": round(self.recall, 5), "precision": round(self.precision, 5), "removed": self.removed}


def read_truth(path: Path) -> list[dict]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def score(truth: list[dict], ids: list[str], removed: set[str], residual: Path, kinds: tuple[str, ...]) -> Score:
    """Score by cluster.

    Args:
        kinds: which injected records must be found: "exact" and / or "near".
    """
    base = {row["id"]: row["base"] for row in truth}
    pairs = map(json.loads, residual.read_text().splitlines() if residual.exists() else ())
    natural = {row[key] for row in pairs for key in ("id", "near")}

    def wanted(row: dict) -> bool:
        near = row["kind"] == "near" and row["jaccard_word5"] >= SIMILAR and "near" in kinds
        return near or row["edit"] == "nfd" or (row["kind"] == "exact" and "exact" in kinds)

    # For exact copies alone, the near ones of the same base are no part of the cluster.
    outside = set() if "near" in kinds else {row["id"] for row in truth if not wanted(row)}
    clusters = Counter(base.get(name, name) for name in ids if name not in outside)
    # What was put into another part of the file than the one given cannot be found.
    present = {name for name in ids if clusters[base.get(name, name)] > 1}
    injected = [row for row in truth if wanted(row) and row["id"] in present]
    survivors = Counter(base.get(name, name) for name in ids if name not in removed and name not in outside)

    def is_removed(row: dict) -> bool:
        return row["id"] in removed or survivors[row["base"]] == 1 < clusters[row["base"]]

    alive = {base.get(name, name) for name in ids if name not in removed}
    good = [name for name in removed if base.get(name, name) in alive or name in natural]
    return Score(
        recall=sum(map(is_removed, injected)) / len(injected) if injected else 1.0,
        precision=len(good) / len(removed) if removed else 1.0,
        injected=len(injected),
        removed=len(removed),
        nfd_missed=sum(not is_removed(row) for row in injected if row["edit"] == "nfd"),
    )
