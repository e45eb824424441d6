"""From a finished training to the stage's result: adapters merged and compared, files published, details told."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from trainers.contract import STAGES, Alignment, Manifest, Pretraining, TrainingDetails, VocabularyExpansion
from trainers.runner.ranks import wait_for_all
from trainers.runner.stage import StageContext, StageResult
from trainers.training.loop import Trained
from trainers.training.merging import merge
from trainers.training.model_folder import ModelFolder, publish_weights


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
    pretraining: Pretraining | None = None,
    expansion: VocabularyExpansion | None = None,
    alignment: Alignment | None = None,
    metrics: dict[str, float] | None = None,
    measure: Callable[[Any], dict[str, float]] = lambda model: {},
) -> StageResult:
    """Write model/, adapter/ and history.jsonl into the output, and say what they are.

    `parent` is the model folder that training began from; its tokenizer, template and settings travel on.
    `measure` takes the finished model and gives more metrics.
    """
    output = context.output
    trainable = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    if trainer.leakage is not None:
        packing = {**packing, "leakage": trainer.leakage}
    model = _whole_model(trainer, context, parent)
    compared: dict[str, float] = {}
    if context.section.lora is not None:
        _publish_adapter(model, _lineage(context)[-1], output / "adapter")
        model, compared = merge(model, trainer.processing_class)
        context.reporter.say(f"merged = adapter + base: {compared}")
    measured = measure(model)
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
        pretraining=pretraining,
        expansion=expansion,
        alignment=alignment,
    )
    speed = tokens_per_epoch * trained.epochs * trained.steps_here / max(trained.steps, 1) / trained.seconds
    return StageResult(
        metrics={
            "loss": trained.last("loss"),
            **({"evaluation_loss": trained.last("eval_loss")} if trained.has("eval_loss") else {}),
            "steps": trained.steps,
            "tokens": tokens_seen,
            **(metrics or {}),
            **measured,
        },
        details=details,
        timings={
            "tokens_per_second": round(speed, 1),
            **_timings(trained),
        },
    )


def _whole_model(trainer: Any, context: StageContext, parent: ModelFolder) -> Any:
    """The trained model in this process, never in 4 bit: adapters merged into a 4-bit base are gibberish without any
    error (unsloth#5410), so the base is loaded again as it was published. Sharded weights are gathered through a file.
    """
    if not trainer.is_fsdp_enabled and context.section.method != "qlora":
        return trainer.accelerator.unwrap_model(trainer.model)
    gathered = context.scratch / "gathered"
    trainer.save_model(str(gathered))  # every process takes part, the leader writes
    wait_for_all()
    if context.section.lora is None:
        return AutoModelForCausalLM.from_pretrained(gathered)
    base = AutoModelForCausalLM.from_pretrained(parent.path, dtype="auto")
    return PeftModel.from_pretrained(base, gathered)


def _timings(trained: Trained) -> dict[str, float]:
    return {
        "train_seconds": round(trained.seconds, 3),
        "step_seconds": round(trained.step_seconds, 6),
        "saving_seconds": round(trained.seconds_saving, 3),
        **({"peak_gpu_bytes": float(torch.cuda.max_memory_allocated())} if torch.cuda.is_available() else {}),
    }


def reward_model_result(
    context: StageContext,
    trainer: Any,
    trained: Trained,
    parent: ModelFolder,
    backend: str,
    tokens_per_epoch: int,
    packing: dict[str, float],
) -> StageResult:
    """The reward model goes to reward_model/; the policy that it rates stays what it was."""
    output = context.output
    reward_model = trainer.accelerator.unwrap_model(trainer.model)
    trainable = sum(weight.numel() for weight in reward_model.parameters() if weight.requires_grad)
    if context.section.lora is not None:
        reward_model = reward_model.merge_and_unload()
    publish_weights(reward_model, parent.path, output / "reward_model")
    shutil.copytree(parent.path, output / "model", dirs_exist_ok=True)
    trained.write_history(output / "history.jsonl")
    tokens = round(tokens_per_epoch * trained.epochs)
    return StageResult(
        metrics={
            "loss": trained.last("loss"),
            "evaluation_loss": trained.last("eval_loss"),
            "reward_accuracy": trained.last("eval_accuracy"),
            "steps": trained.steps,
            "tokens": tokens,
        },
        details=TrainingDetails(
            method=context.section.method,
            backend=backend,
            steps=trained.steps,
            epochs=trained.epochs,
            tokens_seen=tokens,
            tokens_trained=tokens,
            trainable_parameters=trainable,
            tokenizer_hash=parent.tokenizer_hash,
            template_hash=parent.template_hash,
            packing=packing,
            lineage=_lineage(context),
            loss=trained.curve("loss"),
            evaluation_loss=trained.curve("eval_loss"),
            alignment=Alignment(algorithm=context.section.algorithm),
        ),
        timings=_timings(trained),
    )


def _publish_adapter(model: Any, base: str, folder: Path) -> None:
    """Save the adapter; its settings name the base by digest, not by a path of this machine, in a fixed order."""
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty card
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings |= {"base_model_name_or_path": base, "target_modules": sorted(settings["target_modules"])}
    path.write_text(json.dumps(settings, indent=2, sort_keys=True), encoding="utf-8")


def _lineage(context: StageContext) -> list[str]:
    """Content digests from the base model to the parent."""
    usual = STAGES[context.request.stage].parent
    assert usual is not None, "every stage that trains goes on with a model"
    parent: Manifest = context.manifests.get("previous_checkpoint") or context.manifests[usual.asset]
    before = parent.details.lineage if isinstance(parent.details, TrainingDetails) else []
    return [*before, parent.digest]
