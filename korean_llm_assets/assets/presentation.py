"""From a manifest to what a person sees in the UI: figures, tables, a loss curve, samples, links."""

from collections.abc import Mapping, Sequence
from typing import Any

from dagster import MetadataValue, TableRecord

from korean_llm_assets.assets.code_links import code_page
from trainers.contract import (
    STAGES,
    BaseModelDetails,
    BenchmarkDetails,
    CorpusDetails,
    CorpusWork,
    DatasetDetails,
    Details,
    EvaluationDetails,
    ExportDetails,
    Manifest,
    TrainingDetails,
    VocabularyExpansion,
    settings,
)
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.charts import lines
from trainers.contract.markdown import code, quote
from trainers.contract.page_links import PAGE, release_link, report_link

_SAMPLES_SHOWN = 5
_SAMPLE_CHARACTERS = 400
_ROWS_SHOWN = 20


def was_reused(manifest: Manifest, started: float) -> bool:
    """True where the artifact was there before this materialization began."""
    return (manifest.attempts[-1].ended or 0.0) < started


def describe(
    manifest: Manifest, store: ArtifactStore, started: float, ended: float, spent: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The metadata of a materialization in the order of reading: what came out, where it is, what it took, the rest.

    Args:
        manifest: of the artifact.
        store: where it lies.
        started, ended: Unix seconds of the materialization, which is short when the artifact was reused.
        spent: what it took, as metadata.
    """
    request = manifest.request
    metadata: dict[str, Any] = {
        **_of_details(manifest.details),
        **_pages(manifest),
        "artifact location": MetadataValue.path(store.folder(request)),
        **_tracking(store.tracking_run(manifest)),
        "stage seconds": MetadataValue.float(manifest.timings.get("seconds", 0.0)),
        **(spent or {}),
        "size in MB": MetadataValue.float(round(manifest.size / 1e6, 3)),
        "files": len(manifest.files),
        "attempts": len(manifest.attempts),
        "reused": was_reused(manifest, started),
        "seconds": MetadataValue.float(round(ended - started, 2)),
    }
    for item in request.inputs:
        if item.root == "landing":
            metadata["landed folder"] = MetadataValue.text(item.path)
        if item.inherited_from:
            metadata["inherited from release"] = MetadataValue.text(item.inherited_from)
    counters = {**manifest.metrics, **{name: of for name, of in manifest.timings.items() if name != "seconds"}}
    return {
        **metadata,
        "recipe": MetadataValue.json({**request.section, "seed": request.seed}),
        "stage version": request.stage_version,
        "request digest": request.digest,
        **_code(manifest),
        **{name: MetadataValue.float(value) for name, value in sorted(counters.items())},
    }


def _code(manifest: Manifest) -> dict[str, Any]:
    """The commit of the code that made it, and its page where that is known."""
    commit = manifest.environment.commit
    if not commit:
        return {}
    page = code_page(f"{STAGES[manifest.request.stage].module.replace('.', '/')}.py", 1, commit)
    return {"code commit": MetadataValue.text(commit), **({"code": MetadataValue.url(page)} if page else {})}


def _pages(manifest: Manifest) -> dict[str, Any]:
    """The links to an artifact's report and to its release, on the web server that shows this."""
    links = {}
    if any(record.path == PAGE for record in manifest.files):
        links["report page"] = MetadataValue.url(report_link(manifest.request.relative_path))
    if manifest.request.release:
        links["release page"] = MetadataValue.url(release_link(manifest.request.release))
    return links


def _tracking(run: str | None) -> dict[str, Any]:
    if run is None:
        return {"tracking run": MetadataValue.text("none yet: what was measured is kept and sent later")}
    page = settings.MLFLOW_URL.get()
    return {"tracking run": MetadataValue.text(run), "MLflow": MetadataValue.url(f"{page}/#/runs/{run}")}


def _of_details(details: Details) -> dict[str, Any]:
    match details:
        case CorpusDetails():
            figures = _figures(
                details, ("read", "kept", "train_documents", "validation_documents", "characters", "words")
            )
            tables = _tables(details, ("excluded", "masked", "repaired", "by_source", "by_licence", "by_language"))
            return figures | tables | _work(details.work) | _samples(details.samples)
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
            held = sum(row.passed for row in details.gate)
            figures = {
                "gate passed": details.gate_passed,
                "conditions that hold": held,
                "conditions": len(details.gate),
            }
            return figures | {"gate": _gate(details), "report": MetadataValue.md(details.markdown)}
        case ExportDetails():
            return _figures(details, ("parameters", "tokenizer_hash")) | {
                "formats": MetadataValue.json(details.formats),
                "model card": MetadataValue.md(details.model_card),
            }
        case _:
            return _fields(details)


def _fields(details: Details) -> dict[str, Any]:
    """All that is said, as it is: for a kind of details that has no presentation of its own."""
    written = details.model_dump(mode="json")
    return {
        name.replace("_", " "): value if isinstance(value, bool | int | float | str) else MetadataValue.json(value)
        for name, value in {**written["decides"], **written["measured"]}.items()
        if value is not None
    }


def _work(work: CorpusWork | None) -> dict[str, Any]:
    """What a corpus was spread over, and the page of its Ray where it had one."""
    if work is None:
        return {}
    page = {"Ray dashboard": MetadataValue.url(work.dashboard)} if work.dashboard else {}
    return {"engine": work.engine, "nodes": work.nodes, "tasks done again": work.repeated, **page}


def _training(details: TrainingDetails) -> dict[str, Any]:
    names = ("method", "backend", "steps", "epochs", "tokens_seen", "tokens_trained", "trainable_parameters")
    curves = {
        name: curve for name, curve in (("training", details.loss), ("held out", details.evaluation_loss)) if curve
    }
    metadata = _figures(details, names) | _tables(details, ("kernels", "packing", "merge"))
    picture = lines("loss", curves, "loss").markdown() if curves else "no steps were trained"
    metadata["loss curve"] = MetadataValue.md(picture)
    if details.expansion is not None:
        metadata["vocabulary by domain"] = _vocabulary(details.expansion)
    if details.pretraining is not None and details.pretraining.continued_from is not None:
        metadata["continued from release"] = details.pretraining.continued_from
    if details.mask_sample:
        metadata["what is trained on"] = MetadataValue.md(code(details.mask_sample))
    return metadata


def _vocabulary(expansion: VocabularyExpansion) -> MetadataValue:
    """What the new tokens are worth: tokens per word before and after, GPU hours that training takes less."""
    rows: list[dict[str, str | float]] = [
        {
            "domain": name,
            "tokens per word": before,
            "with the new tokens": expansion.tokens_per_word_after[name],
            "GPU hours saved": expansion.gpu_hours_saved[name],
        }
        for name, before in expansion.tokens_per_word_before.items()
    ]
    return MetadataValue.table([TableRecord(row) for row in rows])


def _figures(details: Details, names: Sequence[str]) -> dict[str, Any]:
    return {
        name.replace("_", " "): getattr(details, name) for name in names if getattr(details, name, None) is not None
    }


def _tables(details: Details, names: Sequence[str]) -> dict[str, Any]:
    fields: dict[str, Mapping[str, Any]] = {name: getattr(details, name) for name in names}
    return {name.replace("_", " "): _table(values) for name, values in fields.items() if values}


def _table(values: Mapping[str, Any]) -> MetadataValue:
    """The largest first; a long tail is summed up, and is whole in the artifact's manifest."""
    ordered = sorted(values.items(), key=lambda item: (-item[1] if isinstance(item[1], int | float) else 0, item[0]))
    rows = [TableRecord({"what": key, "value": _number(value)}) for key, value in ordered[:_ROWS_SHOWN]]
    if len(ordered) > _ROWS_SHOWN:
        rest = [value for _, value in ordered[_ROWS_SHOWN:]]
        total = sum(rest) if all(isinstance(value, int) for value in rest) else ""
        rows.append(TableRecord({"what": f"{len(rest)} more, in the manifest", "value": _number(total)}))
    return MetadataValue.table(rows)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _gate(details: EvaluationDetails) -> MetadataValue:
    """What does not hold first, and in words before figures."""
    fields = ("name", "passed", "explanation", "value", "threshold")
    rows = [{name: getattr(row, name) for name in fields} for row in sorted(details.gate, key=lambda row: row.passed)]
    return MetadataValue.table([TableRecord(row) for row in rows])


def _samples(samples: Sequence[str]) -> dict[str, Any]:
    quoted = [quote(text[:_SAMPLE_CHARACTERS]) for text in samples[:_SAMPLES_SHOWN]]
    return {"samples": MetadataValue.md("\n\n---\n\n".join(quoted))} if quoted else {}


def headline(details: Details) -> str:
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
            numbers = (item for item in details.decides.items() if isinstance(item[1], int | float))
            name, number = next(numbers, (details.kind, ""))
            return f"{name.replace('_', ' ')} {number}".strip()
