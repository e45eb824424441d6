"""From a manifest to what a person sees in the UI: figures, tables, a loss curve, samples, links."""

import base64
import os
from collections.abc import Mapping, Sequence
from typing import Any

from dagster import MetadataValue, TableRecord

from trainers.contract import (
    BaseModelDetails,
    BenchmarkDetails,
    CorpusDetails,
    DatasetDetails,
    EvaluationDetails,
    ExportDetails,
    Manifest,
    TrainingDetails,
)
from trainers.contract.artifacts import ArtifactStore

_WIDTH, _HEIGHT, _MARGIN = 640, 240, 48
_SAMPLES_SHOWN = 5
_SAMPLE_CHARACTERS = 400


def was_reused(manifest: Manifest, started: float) -> bool:
    """True where the artifact was there before this materialization began."""
    return (manifest.attempts[-1].ended or 0.0) < started


def describe(manifest: Manifest, store: ArtifactStore, started: float, ended: float) -> dict[str, Any]:
    """The metadata of a materialization.

    Args:
        manifest: of the artifact.
        store: where it lies.
        started, ended: Unix seconds of the materialization, which is short when the artifact was reused.
    """
    request = manifest.request
    details = manifest.details
    metadata: dict[str, Any] = {
        "reused": was_reused(manifest, started),
        "seconds": MetadataValue.float(round(ended - started, 2)),
        "stage seconds": MetadataValue.float(manifest.timings.get("seconds", 0.0)),
        "attempts": len(manifest.attempts),
        "artifact location": MetadataValue.path(store.folder(request)),
        "files": len(manifest.files),
        "size in MB": MetadataValue.float(round(manifest.size / 1e6, 3)),
        "request digest": request.digest,
        "stage version": request.stage_version,
        **{name: MetadataValue.float(value) for name, value in manifest.metrics.items()},
        **{name: MetadataValue.float(value) for name, value in manifest.timings.items() if name != "seconds"},
        **_tracking(store.tracking_run(manifest)),
        **_of_details(details),
    }
    for item in request.inputs:
        if item.root == "landing":
            metadata["landed folder"] = MetadataValue.text(item.path)
        if item.inherited_from:
            metadata["inherited from release"] = MetadataValue.text(item.inherited_from)
    return metadata


def _tracking(run: str | None) -> dict[str, Any]:
    if run is None:
        return {"tracking run": MetadataValue.text("none yet: what was measured is kept and sent later")}
    page = os.environ.get("KOREAN_LLM_MLFLOW_URL", "http://127.0.0.1:5000")
    return {"tracking run": MetadataValue.text(run), "MLflow": MetadataValue.url(f"{page}/#/runs/{run}")}


def _of_details(details: Any) -> dict[str, Any]:
    match details:
        case CorpusDetails():
            figures = _figures(
                details, ("read", "kept", "train_documents", "validation_documents", "characters", "words")
            )
            tables = _tables(details, ("excluded", "masked", "repaired", "by_source", "by_licence", "by_language"))
            return figures | tables | _samples(details.samples)
        case DatasetDetails():
            figures = _figures(details, ("read", "kept", "train", "validation"))
            return figures | _tables(details, ("excluded", "by_source", "by_licence")) | _samples(details.samples)
        case BenchmarkDetails():
            return _tables(details, ("suites", "formats", "excluded"))
        case BaseModelDetails():
            figures = _figures(
                details, ("source", "revision", "architecture", "parameters", "vocabulary", "tokenizer_hash")
            )
            return figures | _tables(details, ("fertility",))
        case TrainingDetails():
            return _training(details)
        case EvaluationDetails():
            return {"report": MetadataValue.md(details.markdown), "gate": _gate(details)}
        case ExportDetails():
            return _figures(details, ("parameters", "tokenizer_hash")) | {
                "formats": MetadataValue.json(details.formats),
                "model card": MetadataValue.md(details.model_card),
            }
        case _:
            raise TypeError(f"no presentation for details of kind {type(details).__name__}")


def _training(details: TrainingDetails) -> dict[str, Any]:
    shown = ("method", "backend", "steps", "epochs", "tokens_seen", "tokens_trained", "trainable_parameters")
    curves = {"training": details.loss, "held out": details.evaluation_loss}
    metadata = _figures(details, shown) | _tables(details, ("packing", "merge"))
    metadata["loss curve"] = MetadataValue.md(picture({name: line for name, line in curves.items() if line}))
    if "gpu_hours_saved" in details.extra:
        metadata["vocabulary by domain"] = _vocabulary(details.extra)
    if "continued_from" in details.extra:
        metadata["continued from release"] = details.extra["continued_from"]
    if details.mask_sample:
        metadata["what is trained on"] = MetadataValue.md(f"```\n{details.mask_sample}\n```")
    return metadata


def _vocabulary(extra: Mapping[str, Any]) -> MetadataValue:
    """What the new tokens are worth: tokens per word before and after, GPU hours that training takes less."""
    before, after, saved = (
        extra[name] for name in ("tokens_per_word_before", "tokens_per_word_after", "gpu_hours_saved")
    )
    rows = [
        {
            "domain": name,
            "tokens per word": before[name],
            "with the new tokens": after[name],
            "GPU hours saved": saved[name],
        }
        for name in before
    ]
    return MetadataValue.table([TableRecord(row) for row in rows])


def _figures(details: Any, names: Sequence[str]) -> dict[str, Any]:
    return {
        name.replace("_", " "): getattr(details, name) for name in names if getattr(details, name, None) is not None
    }


def _tables(details: Any, names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Mapping[str, Any]] = {name: getattr(details, name) for name in names}
    return {name.replace("_", " "): _table(values) for name, values in found.items() if values}


def _table(values: Mapping[str, Any]) -> MetadataValue:
    return MetadataValue.table([TableRecord({"what": key, "value": value}) for key, value in sorted(values.items())])


def _gate(details: EvaluationDetails) -> MetadataValue:
    rows = [row.model_dump(include={"name", "passed", "value", "threshold", "explanation"}) for row in details.gate]
    return MetadataValue.table([TableRecord(row) for row in rows])


def _samples(samples: Sequence[str]) -> dict[str, Any]:
    quoted = ["> " + text[:_SAMPLE_CHARACTERS].replace("\n", "\n> ") for text in samples[:_SAMPLES_SHOWN]]
    return {"samples": MetadataValue.md("\n\n---\n\n".join(quoted))} if quoted else {}


def picture(curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Curves of (step, value) as Markdown with an embedded SVG; small enough for an event log."""
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return "no steps were trained"
    right = max(step for step, _ in points) or 1
    low, high = min(value for _, value in points), max(value for _, value in points)
    span = (high - low) or 1.0

    def place(step: int, value: float) -> str:
        x = _MARGIN + step / right * (_WIDTH - 2 * _MARGIN)
        y = _MARGIN / 2 + (high - value) / span * (_HEIGHT - _MARGIN)
        return f"{x:.1f},{y:.1f}"

    parts = [f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>']
    for share in (0.0, 0.5, 1.0):
        value = low + share * span
        left, base = place(0, value).split(",")
        parts.append(f'<path d="M{left} {base}H{_WIDTH - _MARGIN}" stroke="#ddd"/>')
        parts.append(f'<text x="4" y="{base}" font-size="11">{value:.3g}</text>')
        x = _MARGIN + share * (_WIDTH - 2 * _MARGIN)
        parts.append(f'<text x="{x:.0f}" y="{_HEIGHT - 6}" font-size="11">{right * share:.0f}</text>')
    for (name, curve), colour in zip(curves.items(), ("#1565c0", "#ef6c00", "#2e7d32", "#6a1b9a"), strict=False):
        line = " ".join(place(step, value) for step, value in curve)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        label = 12 + 14 * len([part for part in parts if part.startswith("<polyline")])
        parts.append(f'<text x="{_WIDTH - 110}" y="{label}" font-size="11" fill="{colour}">{name}</text>')
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">{"".join(parts)}</svg>'
    return f"![curve](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def headline(details: Any) -> str:
    """The one figure of an artifact, for a table."""
    match details:
        case CorpusDetails():
            return f"{details.kept:,} of {details.read:,} documents kept"
        case DatasetDetails():
            return f"{details.train:,} to train on, {details.validation:,} held out"
        case BenchmarkDetails():
            return f"{sum(details.suites.values()):,} items in {len(details.suites)} suites"
        case BaseModelDetails():
            fertility = ", ".join(f"{value:.2f} {name}" for name, value in details.fertility.items())
            return f"{details.parameters / 1e6:,.1f}M parameters; {fertility}"
        case TrainingDetails():
            first, last = (details.loss[0][1], details.loss[-1][1]) if details.loss else (float("nan"),) * 2
            return f"loss {first:.3f} -> {last:.3f} in {details.steps} steps"
        case EvaluationDetails():
            return f"gate: {sum(row.passed for row in details.gate)} of {len(details.gate)} conditions hold"
        case ExportDetails():
            return f"{', '.join(details.formats)}; alias champion"
        case _:
            raise TypeError(f"no headline for details of kind {type(details).__name__}")
