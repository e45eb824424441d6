"""A recipe's section as the arguments of TRL's trainers, and a trainer on rows of tokens."""

import importlib.util
import os
from typing import Any

import torch
from accelerate import ParallelismConfig
from datasets import Dataset
from transformers import TrainingArguments

from trainers.contract import BadRequest, ModelFacts, ServiceMissing, settings
from trainers.contract.recipe import CptSection, SftSection, TrainingSection
from trainers.runner.ranks import world_size
from trainers.runner.stage import StageContext
from trainers.training.backends.transformers import frozen_dtype
from trainers.training.data.rows import PackedCollator
from trainers.training.leakage import leakage
from trainers.training.learning_rates import schedule_name
from trainers.training.own_loss import loss_type, require_own_loss
from trainers.training.steps import Batching, readers

_OPTIMIZERS = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "muon": "adamw_torch_fused",  # for what is no matrix of a layer (muon.py)
}
"""transformers' names of the recipe's."""


def is_sharded(section: TrainingSection) -> bool:
    """True where weights, gradients and optimizer are shared out over the processes (FSDP2)."""
    return section.shard_weights and world_size() > 1


def training_arguments(kind: type[TrainingArguments], context: StageContext, batching: Batching, **further: Any) -> Any:
    """The section as TRL's arguments of the given kind; `further` are the algorithm's.

    Saving is left to the loop (`save_strategy: no`), because TRL's own checkpoints are written in place.

    Raises:
        BadRequest: the optimizer or the kernels need a GPU, and there is none, or it lacks the precision.
        ServiceMissing: the kernels are not installed.
    """
    section: TrainingSection = context.section
    on_gpu = torch.cuda.is_available()
    if "8bit" in section.optimizer and not on_gpu:
        raise BadRequest(
            f"optimizer: {section.optimizer} needs a GPU (bitsandbytes' kernels); say optimizer: adamw here"
        )
    if section.liger:
        _require_liger(on_gpu)
    if section.context_parallel > 1:
        _require_ring_attention(on_gpu)
    settings: dict[str, Any] = dict(
        output_dir=str(context.scratch / "trl"),
        seed=context.request.seed,
        data_seed=context.request.seed,
        learning_rate=section.learning_rate,
        lr_scheduler_type=schedule_name(section),
        # Said, because unsloth's patches change what TRL takes where nothing is: one request, one model.
        optim=_OPTIMIZERS[section.optimizer],
        max_grad_norm=section.max_grad_norm,
        use_liger_kernel=section.liger,
        eval_accumulation_steps=None,
        torch_empty_cache_steps=None,
        adam_beta2=section.adam_beta2,
        warmup_steps=section.warmup_share,
        weight_decay=section.weight_decay,
        per_device_train_batch_size=batching.size,
        per_device_eval_batch_size=batching.size,
        gradient_accumulation_steps=batching.accumulation,
        num_train_epochs=section.epochs,
        max_steps=section.max_steps or -1,
        eval_strategy="steps" if section.evaluation_steps else "epoch",
        eval_steps=section.evaluation_steps,
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,  # a NaN must be seen, not averaged away
        disable_tqdm=True,
        report_to=[name for name in section.report_to if name != "mlflow"],  # mlflow hears from the reporter
        use_cpu=not on_gpu,
        bf16=frozen_dtype(section) is torch.bfloat16,
        gradient_checkpointing=on_gpu,
        dataloader_pin_memory=on_gpu,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False if world_size() > 1 else None,
    )
    if is_sharded(section):
        settings |= {"fsdp": True, "fsdp_config": {"activation_checkpointing": on_gpu}, "gradient_checkpointing": False}
    if section.context_parallel > 1:
        # Rows are shared among neighbours, weights among all; it implies FSDP2.
        parts = {"cp_size": section.context_parallel, "dp_shard_size": readers(section)}
        settings["parallelism_config"] = ParallelismConfig(**parts)
    _place_logs(context)
    return kind(**{**settings, **further})


def rows_trainer(
    kind: type[Any],
    model: Any,
    collator: PackedCollator,
    tokenizer: Any,
    facts: ModelFacts,
    splits: tuple[Dataset, Dataset],
    context: StageContext,
    batching: Batching,
    **further: Any,
) -> Any:
    """A trainer of an SFTTrainer's kind for a backend's model; where rows are packed, its `leakage` is measured.

    Args:
        splits: rows to train on, and held-out ones (see rows.py).
        further: arguments of TRL's SFTConfig.

    Raises:
        BadRequest: packed documents see each other in this backend, its loss is not the model's own, or the family
            cannot share its rows.
    """
    from trl import SFTConfig

    section: CptSection | SftSection = context.section
    if section.context_parallel > 1:
        _require_full_attention(model)
    ready = {
        "max_length": section.max_length,
        "dataset_kwargs": {"skip_prepare_dataset": True},  # the rows are ready
        "loss_type": "nll" if section.liger else loss_type(facts),  # Liger's own is fused with the head
    }
    trainer = kind(
        model=model,
        args=training_arguments(SFTConfig, context, batching, **{**ready, **further}),
        data_collator=collator,
        train_dataset=splits[0],
        eval_dataset=splits[1],
        processing_class=tokenizer,
    )
    require_own_loss(trainer, collator, splits[0][0])
    if section.layout == "packed":
        trainer.leakage = leakage(trainer.model, collator, splits[0][0]["input_ids"])
    return trainer


def _require_liger(on_gpu: bool) -> None:
    if not on_gpu:
        raise BadRequest("liger: true needs a GPU (its kernels are Triton's); take the key away here")
    if importlib.util.find_spec("liger_kernel") is None:
        raise ServiceMissing("liger: true, but liger-kernel is not installed; install it in the image, or take it away")


def _require_ring_attention(on_gpu: bool) -> None:
    """torch has it over its three attention kernels of a GPU (torch.distributed.tensor.experimental)."""
    if not on_gpu:
        raise BadRequest("context_parallel needs GPUs (ring attention has no kernel for a CPU); take the key away here")


def _require_full_attention(model: Any) -> None:
    """accelerate drops every mask, and refuses the others in the first step (`_attach_context_parallel_hooks`)."""
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or [
        "sliding_attention" if getattr(config, "sliding_window", None) else "full_attention"
    ]
    if others := sorted({*kinds} - {"full_attention"}):
        raise BadRequest(
            f"context_parallel: the family {config.model_type!r} has layers of {', '.join(others)}, whose tokens would "
            "see what they must not; take the key away"
        )


def _place_logs(context: StageContext) -> None:
    home = settings.HOME.get().absolute() / "tracking"
    run = f"{context.request.stage}-{context.request.digest[:12]}"
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(home / "tensorboard" / run))
    os.environ.setdefault("WANDB_DIR", str(home))
    os.environ.setdefault("WANDB_NAME", run)
    home.mkdir(parents=True, exist_ok=True)
