"""From a finished training to the stage's result: adapters merged and compared, files published, details told."""

from typing import Any

from trainers.contract import Manifest, TrainingDetails
from trainers.loop import Trained
from trainers.merging import merge
from trainers.model_folder import ModelFolder, publish_weights
from trainers.stage import StageContext, StageResult


def training_result(
    context: StageContext,
    trainer: Any,
    trained: Trained,
    parent: ModelFolder,
    *,
    backend: str,
    tokens_per_epoch: int,
    packing: dict[str, float],
    mask_sample: str | None = None,
    extra: dict[str, Any] | None = None,
    metrics: dict[str, float] | None = None,
) -> StageResult:
    """Write model/, adapter/ and history.jsonl into the output, and say what they are.

    `parent` is the model folder that training began from; its tokenizer, template and settings travel on.
    """
    output = context.output
    model = trainer.accelerator.unwrap_model(trainer.model)
    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    compared: dict[str, float] = {}
    if context.section.lora is not None:
        for settings in model.peft_config.values():
            settings.base_model_name_or_path = context.request.inputs[0].digest  # not a path of this machine
        model.save_pretrained(output / "adapter", safe_serialization=True)
        (output / "adapter" / "README.md").unlink(missing_ok=True)  # peft's empty card
        model, compared = merge(model, trainer.processing_class)
        context.reporter.say(f"merged = adapter + base: {compared}")
    publish_weights(model, parent.path, output / "model")
    trained.write_history(output / "history.jsonl")
    tokens_seen = round(tokens_per_epoch * trained.epochs)
    published = ModelFolder(output / "model")
    details = TrainingDetails(
        method=context.section.method,
        backend=backend,
        steps=trained.steps,
        epochs=trained.epochs,
        tokens_seen=tokens_seen,
        tokens_trained=trained.tokens_trained or tokens_seen,
        trainable_parameters=trainable,
        tokenizer_hash=published.tokenizer_hash,
        template_hash=published.template_hash,
        packing=packing,
        merge=compared,
        lineage=_lineage(context),
        loss=trained.curve("loss"),
        evaluation_loss=trained.curve("eval_loss"),
        mask_sample=mask_sample,
        extra=extra or {},
    )
    speed = tokens_per_epoch * trained.epochs * trained.steps_here / max(trained.steps, 1) / trained.seconds
    return StageResult(
        metrics={
            "loss": trained.last("loss"),
            "evaluation_loss": trained.last("eval_loss"),
            "steps": trained.steps,
            "tokens": tokens_seen,
            **(metrics or {}),
        },
        details=details,
        timings={"train_seconds": round(trained.seconds, 3), "tokens_per_second": round(speed, 1)},
    )


def _lineage(context: StageContext) -> list[str]:
    """Content digests from the base model to the parent."""
    parents = [name for name in ("base_model", "cpt_checkpoint", "sft_model") if name in context.manifests]
    parent: Manifest = context.manifests[parents[-1]]
    before = parent.details.lineage if isinstance(parent.details, TrainingDetails) else []
    return [*before, parent.digest]
