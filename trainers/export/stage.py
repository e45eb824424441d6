"""Stage `export`: the aligned model as a self-contained folder, with a model card made from its lineage's manifests."""

import shutil
from pathlib import Path

from trainers.contract import (
    BadRequest,
    DiskTrouble,
    EvaluationDetails,
    ExportDetails,
    GgufForm,
    Manifest,
    TrainingDetails,
)
from trainers.contract.digests import file_sha256
from trainers.export.model_card import model_card
from trainers.export.portable import make_portable
from trainers.export.registry_entry import NAME, write_registry_entry
from trainers.runner.stage import StageContext, StageResult
from trainers.training.model_folder import ModelFolder, require_adapter_of


def run(context: StageContext) -> StageResult:
    """Copy and verify the model, write its card."""
    model, report = context.manifests["rlhf_model"], context.manifests["eval_report"]
    if not isinstance(model.details, TrainingDetails) or not isinstance(report.details, EvaluationDetails):
        raise BadRequest("export needs a trained model as 'rlhf_model' and an evaluation as 'eval_report'")
    if report.request.input("rlhf_model").digest != model.digest:
        raise BadRequest(
            f"the eval_report judges model {report.request.input('rlhf_model').digest[:12]}, but the one to export is "
            f"{model.digest[:12]}; materialize eval_report again"
        )
    source, target = context.inputs["rlhf_model"] / "model", context.output / "model"
    _copy_verified(source, target)
    make_portable(target)
    if "adapter" in context.section.formats:
        adapter = context.inputs["rlhf_model"] / "adapter"
        if not adapter.is_dir():
            raise BadRequest(f"recipe key export.formats asks for 'adapter', but {adapter} is not there (method: full)")
        require_adapter_of(adapter, model.request.input("sft_model").digest)
        _copy_verified(adapter, context.output / "adapter")
    lineage = lineage_of(context)
    gguf = _gguf(context, target, report.details, lineage) if context.section.gguf else {}
    card = model_card(context.request.model or "", report, lineage)
    (context.output / "model_card.md").write_text(card, encoding="utf-8")
    context.reporter.attach(context.output / "model_card.md")
    forms = [*context.section.formats, *(f"gguf {form}" for form in gguf)]
    context.reporter.attach(write_registry_entry(context.output, context.request, forms))
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    context.reporter.say(f"exported {size / 1e6:.1f} MB of {context.request.partition}")
    return StageResult(
        metrics={"bytes": float(size), "gate_passed": float(report.details.gate_passed)},
        details=ExportDetails(
            formats=forms,
            gguf=gguf,
            parameters=ModelFolder(target).parameters,
            tokenizer_hash=model.details.tokenizer_hash,
            template_hash=model.details.template_hash,
            model_card=card,
            model=model.digest,
            report=report.digest,
            facts=model.details.facts,
            replies=report.details.replies,
            lineage=[manifest.digest for manifest in lineage],
        ),
        provenance=(NAME,),  # it says when it was written
    )


def _gguf(
    context: StageContext, model: Path, report: EvaluationDetails, lineage: list[Manifest]
) -> dict[str, GgufForm]:
    from trainers.export.gguf_form.publish import publish  # only the recipes that ask for it need its packages

    system = next((m.request.section.get("system_prompt") for m in lineage if m.request.stage == "sft"), None)
    name, folder = str(context.request.model), context.output / "gguf"
    return publish(model, folder, name, context.section.gguf, report.replies, system or "", context.reporter)


def lineage_of(context: StageContext) -> list[Manifest]:
    """Every artifact this model was made from, the nearest first (earlier releases' too, where it went on from one);
    those since deleted are left out."""
    lineage: dict[str, Manifest] = {}
    waiting = list(context.manifests.values())
    while waiting:
        manifest = waiting.pop(0)
        if manifest.digest in lineage:
            continue
        lineage[manifest.digest] = manifest
        paths = [item.path for item in manifest.request.inputs if item.root == "artifacts"]
        waiting += [above for path in paths if (above := context.store.read_manifest(path)) is not None]
    return list(lineage.values())


def _copy_verified(source: Path, target: Path) -> None:
    """A real copy, so that deleting the training artifact later leaves this one whole. Resumes half a copy."""
    for path in sorted(source.rglob("*")):
        if path.is_dir():
            continue
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        if file_sha256(copy) != file_sha256(path):
            raise DiskTrouble(f"{copy} differs from {path} after copying; check the volume, then run again")
