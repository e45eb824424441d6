"""The model card: data, licences, recipe, results and limits of a model, told from its manifests."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from trainers.contract import (
    STAGES,
    BaseModelDetails,
    CorpusDetails,
    DatasetDetails,
    EvaluationDetails,
    Interval,
    Manifest,
    TrainingDetails,
)
from trainers.contract.markdown import escaped, table


def model_card(name: str, report: Manifest, lineage: Sequence[Manifest]) -> str:
    """Markdown; `lineage` holds the manifests of all that the model was made from."""
    release = report.request.release
    model = STAGES["export"].parent
    assert model is not None, "what is exported is a model"
    manifests = [manifest for stage in model.lineage for manifest in lineage if manifest.request.stage == stage.name]
    return "\n".join(
        [
            f"# {escaped(name)}, release {escaped(release)}",
            "",
            "A Korean language model, made by continued pre-training, supervised fine-tuning and preference learning. "
            "This card is generated from the manifests of every artifact that it was made from.",
            "",
            *_base(manifests),
            *_data(manifests),
            *_recipe(manifests, report),
            *_results(report),
            *_limits(report, manifests),
            *_identity(manifests, report),
        ]
    )


def _base(manifests: list[Manifest]) -> list[str]:
    lines = []
    for manifest in manifests:
        details = manifest.details
        if isinstance(details, BaseModelDetails):
            revision = f" at revision {escaped(details.revision)}" if details.revision else ""
            lines += ["## Base model", "", f"- source: {escaped(details.source)}{revision}"]
            lines += [f"- architecture: {escaped(details.architecture)}, {details.parameters:,} parameters"]
            lines += [f"- vocabulary: {details.vocabulary:,} tokens", ""]
    return lines


def _data(manifests: list[Manifest]) -> list[str]:
    rows = []
    licences: Counter[str] = Counter()
    for manifest in manifests:
        details = manifest.details
        if isinstance(details, CorpusDetails | DatasetDetails):
            sources = ", ".join(f"{source} ({count:,})" for source, count in sorted(details.by_source.items())) or "-"
            name = f"{manifest.request.asset} {manifest.request.release}"
            rows.append((name, f"{details.kept:,} of {details.read:,} read", sources))
            licences.update(details.by_licence)
    counts = [(licence, f"{count:,}") for licence, count in sorted(licences.items())]
    lines = ["## Data and licences", "", *table(["data and release", "documents or rows", "sources"], rows), ""]
    return [*lines, *table(["licence of the training data", "documents or rows"], counts), ""]


def _earlier(manifest: Manifest, report: Manifest) -> str:
    same = manifest.request.release == report.request.release
    return "" if same else f" of release {manifest.request.release}"


def _recipe(manifests: list[Manifest], report: Manifest) -> list[str]:
    lines = ["## Recipe", ""]
    for manifest in manifests:
        details = manifest.details
        if isinstance(details, TrainingDetails):
            name = f"{manifest.request.asset}{_earlier(manifest, report)}"
            lines.append(
                f"- {name}: {details.method} ({details.backend}), {details.steps:,} steps, "
                f"{details.tokens_trained:,} tokens with a loss, {details.trainable_parameters:,} trainable "
                f"parameters; `{json.dumps(manifest.request.section, ensure_ascii=False, sort_keys=True)}`"
            )
            if details.merge:
                figures = ", ".join(f"{name} {value:.2g}" for name, value in sorted(details.merge.items()))
                lines.append(f"  - merged model against adapter + base, before it was published: {figures}")
    return [*lines, ""]


def _results(report: Manifest) -> list[str]:
    details = report.details
    assert isinstance(details, EvaluationDetails)
    lines = ["## Results", "", f"The gate {'passed' if details.gate_passed else 'FAILED'}:", ""]
    lines += [f"- {'met' if g.passed else '**not met**'}: {escaped(g.explanation)}" for g in details.gate]
    rows = []
    for suite, by_stage in sorted(details.suites.items()):
        if (ours := by_stage.get(STAGES["export"].subject)) is not None:
            base = f"{by_stage['base'].value:.4f}" if "base" in by_stage else "-"
            rows.append((suite, base, f"{ours.value:.4f}", f"{ours.low:.4f} to {ours.high:.4f}", ours.n))
    return [*lines, "", *table(["suite", "base", "this model", "95%", "items"], rows), ""]


def _limits(report: Manifest, manifests: list[Manifest]) -> list[str]:
    details = report.details
    assert isinstance(details, EvaluationDetails)
    lines = ["## Known limits", ""]
    parameters = next((m.details.parameters for m in manifests if isinstance(m.details, BaseModelDetails)), None)
    if parameters is not None and parameters < 100_000_000:
        lines.append(f"- {parameters:,} parameters: it shows that the pipeline works and is of no use beyond that.")
    lines += [f"- A condition of the gate was not met: {escaped(g.explanation)}" for g in details.gate if not g.passed]
    weak = [
        suite for suite, by_stage in sorted(details.suites.items()) if _no_better_than_base(details, suite, by_stage)
    ]
    lines += [f"- Not measurably better than the base model on: {', '.join(map(escaped, weak))}."] if weak else []
    lines += ["- Intervals cover the choice of items, not the choice of seeds or prompts."]
    return [*lines, ""]


def _no_better_than_base(details: EvaluationDetails, suite: str, by_stage: Mapping[str, Interval]) -> bool:
    base, ours = by_stage.get("base"), by_stage.get(STAGES["export"].subject)
    if base is None or ours is None:
        return False
    overlap = ours.low <= base.high and base.low <= ours.high
    worse = (ours.value < base.value) == details.higher_is_better.get(suite, True) and ours.value != base.value
    return overlap or worse


def _identity(manifests: list[Manifest], report: Manifest) -> list[str]:
    rows = [(m.request.asset, m.request.partition, m.digest) for m in (*manifests, report)]
    return ["## Identity", "", *table(["artifact", "partition", "content digest"], rows), ""]
