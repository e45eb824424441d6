"""What `takedown --purge` removes: landed rows, artifacts, what Dagster and the tracker show of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dagster import AssetKey, AssetRecordsFilter, DagsterInstance

from korean_llm_assets.partitions.pointers import ARTIFACT
from korean_llm_assets.resources import Platform
from korean_llm_assets.serving.registry import Version
from trainers.contract import Artifact, Manifest
from trainers.contract.files import write_atomically
from trainers.contract.layout import Place
from trainers.contract.names import inside
from trainers.contract.takedown import names_of, strings

_LINES, _WHOLE = {".jsonl", ".ndjson"}, {".txt", ".md", ".html", ".htm"}


def purge(
    platform: Platform, affected: Sequence[Manifest], held: Any, serving: Sequence[Version]
) -> dict[str, dict[str, str]]:
    """Remove; gives what was `removed` and what is `left`, each place -> why."""
    removed: dict[str, str] = {}
    left: dict[str, str] = {}
    for name, names in held["landed"].items():
        outcome = _without_rows(inside(platform.landing.root, name), set(names))
        (left if outcome.startswith("by hand") else removed)[f"landed {name}"] = outcome
    live = {version.artifact.path for version in serving}
    with DagsterInstance.get() as instance:
        for manifest in affected:
            path = manifest.request.relative_path
            if path in live:
                left[path] = "it serves, or what serves can go back to it; promote or roll back to another first"
                continue
            removed |= _forget(platform, instance, manifest)
            if Place(platform.store.root / path).remove_artifact():
                removed[path] = "artifact"
            else:
                left[path] = "a process works on it; run this again when it has ended"
    return {"removed": removed, "left": left}


def _forget(platform: Platform, instance: DagsterInstance, manifest: Manifest) -> dict[str, str]:
    """Remove the runs that show samples of an artifact, and what was attached to it in the tracker."""
    forgotten: dict[str, str] = {}
    for run_id in _runs_of(instance, manifest):
        instance.delete_run(run_id)
        forgotten[f"Dagster run {run_id}"] = "its log and metadata show samples"
    tracked = platform.store.tracking_run(manifest)
    if tracked is not None and platform.registry.forget_attachments(tracked):
        forgotten[f"MLflow run {tracked}"] = "what was attached to it"
    return forgotten


def _runs_of(instance: DagsterInstance, manifest: Manifest) -> set[str]:
    """Ids of the runs that materialized an artifact, or found it there."""
    request = manifest.request
    partition = "|".join(key for key in (request.model, request.release) if key)
    records = AssetRecordsFilter(asset_key=AssetKey(request.asset), asset_partitions=[partition])
    runs = set()
    for record in instance.fetch_materializations(records, limit=1000).records:
        assert record.asset_materialization is not None, "the filter asks for materializations only"
        pointer = Artifact.model_validate(record.asset_materialization.metadata[ARTIFACT].value)
        if pointer.path == request.relative_path:
            runs.add(record.event_log_entry.run_id)
    return runs


def _without_rows(path: Path, names: set[str]) -> str:
    """Take the rows that have a name out of a landed file; says what was done."""
    if path.suffix in _WHOLE:
        path.unlink()
        return "the file, which was one document"
    if path.suffix not in _LINES:
        return f"by hand: rows of {path.suffix} files are not taken out by this command"
    lines = path.read_bytes().split(b"\n")
    rest = [line for line in lines if not names & _names_of(line)]
    write_atomically(path, b"\n".join(rest).decode("utf-8", "surrogateescape"))
    return f"{len(lines) - len(rest)} rows"


def _names_of(line: bytes) -> set[str]:
    """The names of a row as it came."""
    try:
        row = json.loads(line)
    except ValueError:
        return set()
    return names_of(str(row.get("id")) if isinstance(row, dict) else "", *strings(row))
