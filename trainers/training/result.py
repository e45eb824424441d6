"""From a finished training to the stage's result: adapters merged and compared, files published, details told."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from trainers.contract import Alignment, Pretraining, TrainingDetails, VocabularyExpansion
from trainers.runner.ranks import is_leader, wait_for_all
from trainers.runner.stage import StageContext, StageResult
from trainers.training.backends import Backend
from trainers.training.merging import PROMPTS, merge
from trainers.training.model_facts import facts_of, parent_of
from trainers.training.model_folder import ModelFolder, publish_weights
from trainers.training.pissa import as_adapter_of_the_whole_base
from trainers.training.trained import Trained


def training_result(
    context: StageContext,
    trainer: Any,
    trained: Trained,
    parent: ModelFolder,
    *,
    backend: Backend,
    tokens_per_epoch: int,
    packing: dict[str, float],
    mask_sample: str | None = None,
    pretraining: Pretraining | None = None,
    expansion: VocabularyExpansion | None = None,
    alignment: Alignment | None = None,
    metrics: dict[str, float] | None = None,
    measure: Callable[[Any], dict[str, float]] = lambda model: {},
) -> StageResult | None:
    """Write model/, adapter/ and history.jsonl into the output, and say what they are; None in a follower, which is
    not needed any more: merged and written by each, a 72B would take its 145 GB of memory and disk once per GPU.

    `parent` is the model folder that training began from; its tokenizer, template and settings travel on.
    `measure` takes the finished model and gives more metrics.
    """
    output = context.output
    computed = _computed(trainer, backend)
    if trainer.leakage is not None:
        packing = {**packing, "leakage": trainer.leakage}
    model = _whole_model(trainer, context, parent.path)
    if not is_leader():
        return None
    compared: dict[str, float] = {}
    if context.section.lora is not None:
        _publish_adapter(model, _lineage(context)[-1], output / "adapter")
        context.reporter.say(f"merging the adapters; {len(PROMPTS)} prompts are answered before and after")
        model, compared = merge(model, trainer.processing_class)
        context.reporter.say(f"merged = adapter + base: {compared}")
    measured = measure(model)
    context.reporter.say("publishing the model")
    publish_weights(model, parent.path, output / "model")
    trained.write_history(output / "history.jsonl")
    tokens_seen = round(tokens_per_epoch * trained.epochs)
    details = TrainingDetails(
        **_of_training(context, trained, parent),
        **computed,
        tokens_seen=tokens_seen,
        tokens_trained=trained.tokens_trained or tokens_seen,
        packing=packing,
        merge=compared,
        mask_sample=mask_sample,
        pretraining=pretraining,
        expansion=expansion,
        alignment=alignment,
    )
    speed = tokens_per_epoch * trained.epochs * trained.steps_here / max(trained.steps, 1) / trained.seconds
    return StageResult(
        metrics={
            "loss": trained.last("loss"),
            **({"evaluation_loss": trained.held_out_loss} if trained.has("eval_loss") else {}),
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


def _whole_model(
    trainer: Any, context: StageContext, parent: Path, kind: Any = AutoModelForCausalLM, **load: Any
) -> Any:
    """The trained model in this process, never in 4 bit: adapters merged into a 4-bit base are gibberish without any
    error (unsloth#5410), so the base is loaded again as it was published. Sharded weights are gathered through a file,
    and spread over the leader's GPUs, which the followers leave free.
    """
    if not trainer.is_fsdp_enabled and context.section.method != "qlora":
        return trainer.accelerator.unwrap_model(trainer.model)
    gathered = context.scratch / "gathered"
    trainer.save_model(str(gathered))  # every process takes part, the leader writes
    wait_for_all()
    if not is_leader():
        return None
    if torch.cuda.is_available():
        trainer.model = trainer.model_wrapped = trainer.optimizer = None
        trainer.accelerator.free_memory()
        load["device_map"] = "auto"
    if context.section.lora is None:
        return kind.from_pretrained(gathered, **load)
    base = kind.from_pretrained(parent, dtype="auto", **load)
    return PeftModel.from_pretrained(base, gathered)


def _of_training(context: StageContext, trained: Trained, parent: ModelFolder) -> dict[str, Any]:
    """What is said of every training, once its model is published."""
    published = ModelFolder(context.output / "model")
    curves = {name: trained.curve(name) for name in ("learning_rate", "grad_norm", "tokens_per_second")}
    return {
        "method": context.section.method,
        "steps": trained.steps,
        "epochs": trained.epochs,
        "best_step": trained.best_step,
        "tokenizer_hash": published.tokenizer_hash,
        "template_hash": published.template_hash,
        "lineage": _lineage(context),
        "loss": trained.curve("loss"),
        "evaluation_loss": trained.curve("eval_loss"),
        "curves": {name: curve for name, curve in curves.items() if curve},
        "facts": facts_of(parent_of(context), parent.path),
    }


def _computed(trainer: Any, backend: Backend) -> dict[str, Any]:
    """What computed a training, and how many weights: said by a trainer that still has its model."""
    trainable = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    return {"backend": backend.name, "kernels": _kernels(trainer, backend), "trainable_parameters": trainable}


def _kernels(trainer: Any, backend: Backend) -> dict[str, str]:
    """What computed a training, by what ran: the same request may meet another machine."""

    def types(trained: bool) -> str:
        kinds = {str(weight.dtype) for weight in trainer.model.parameters() if weight.requires_grad is trained}
        return ", ".join(sorted(kinds)).replace("torch.", "") or "none"

    return {
        **backend.kernels(trainer.model),
        "optimizer": str(trainer.args.optim.value),
        "trained": types(True),
        "frozen": types(False),
        "autocast": str(trainer.accelerator.mixed_precision),
    }


def _timings(trained: Trained) -> dict[str, float]:
    """Of the leader, once everything is published."""
    trained.host_memory.phase_ended("publishing", everywhere=False)
    return {
        "train_seconds": round(trained.seconds, 3),
        "step_seconds": round(trained.step_seconds, 6),
        "saving_seconds": round(trained.seconds_saving, 3),
        **{f"peak_host_bytes_{phase}": peak for phase, peak in trained.host_memory.peaks.items()},
        **({"peak_gpu_bytes": float(torch.cuda.max_memory_allocated())} if torch.cuda.is_available() else {}),
    }


def reward_model_result(
    context: StageContext,
    trainer: Any,
    trained: Trained,
    parent: ModelFolder,
    backend: Backend,
    tokens_per_epoch: int,
    packing: dict[str, float],
) -> StageResult | None:
    """The reward model goes to reward_model/; the policy that it rates stays what it was. None in a follower."""
    output = context.output
    computed = _computed(trainer, backend)
    reward_model = _whole_model(trainer, context, parent.path, AutoModelForSequenceClassification, num_labels=1)
    if not is_leader():
        return None
    context.reporter.say("publishing the reward model")
    if context.section.lora is not None:
        reward_model = reward_model.merge_and_unload()
    publish_weights(reward_model, parent.path, output / "reward_model")
    shutil.copytree(parent.path, output / "model", dirs_exist_ok=True)
    trained.write_history(output / "history.jsonl")
    tokens = round(tokens_per_epoch * trained.epochs)
    return StageResult(
        metrics={
            "loss": trained.last("loss"),
            "evaluation_loss": trained.held_out_loss,
            "reward_accuracy": trained.last("eval_accuracy"),
            "steps": trained.steps,
            "tokens": tokens,
        },
        details=TrainingDetails(
            **_of_training(context, trained, parent),
            **computed,
            tokens_seen=tokens,
            tokens_trained=tokens,
            packing=packing,
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
    settings = as_adapter_of_the_whole_base(model, folder, settings)
    settings |= {"base_model_name_or_path": base, "target_modules": _targets(model)}
    path.write_text(json.dumps(settings, indent=2, sort_keys=True), encoding="utf-8")


def _targets(model: Any) -> list[str]:
    """Names of the layers that have adapters, however the backend sought them (by names, a pattern, "all-linear"): by
    their last part where that tells them from all others, as servers of adapters ask for it, else in full."""
    adapted = {name for name, module in model.base_model.model.named_modules() if isinstance(module, LoraLayer)}
    inside = tuple(f"{name}." for name in adapted)
    others = {
        name.rpartition(".")[2]
        for name, _ in model.base_model.model.named_modules()
        if name not in adapted and not name.startswith(inside)
    }
    short = {name.rpartition(".")[2] for name in adapted}
    return sorted(adapted if short & others else short)


def _lineage(context: StageContext) -> list[str]:
    """Content digests from the base model to the parent."""
    parent = parent_of(context)
    before = parent.details.lineage if isinstance(parent.details, TrainingDetails) else []
    return [*before, parent.digest]
