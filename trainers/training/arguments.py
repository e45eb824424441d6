"""A recipe's section as the arguments of TRL's trainers, and a trainer on packed rows."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainingArguments

from trainers.contract import settings
from trainers.contract.recipe import TrainingSection
from trainers.runner.ranks import world_size
from trainers.runner.stage import StageContext
from trainers.training.backends import Backend
from trainers.training.data.rows import PackedCollator
from trainers.training.leakage import leakage


@dataclass(frozen=True)
class Batching:
    """How the rows of one step are fed: `size` at once, `accumulation` times."""

    size: int
    accumulation: int

    @property
    def rows(self) -> int:
        """Rows of one step, on one process."""
        return self.size * self.accumulation

    def __str__(self) -> str:
        return f"{self.accumulation} x {self.size} rows"


def training_arguments(kind: type[TrainingArguments], context: StageContext, batching: Batching, **further: Any) -> Any:
    """The section as TRL's arguments of the given kind; `further` are the algorithm's.

    Saving is left to the loop (`save_strategy: no`), because TRL's own checkpoints are written in place.
    """
    section: TrainingSection = context.section
    on_gpu = torch.cuda.is_available()
    bf16 = on_gpu and torch.cuda.is_bf16_supported()
    settings: dict[str, Any] = dict(
        output_dir=str(context.scratch / "trl"),
        seed=context.request.seed,
        data_seed=context.request.seed,
        learning_rate=section.learning_rate,
        lr_scheduler_type="warmup_stable_decay" if section.schedule == "wsd" else section.schedule,
        adam_beta2=section.adam_beta2,
        warmup_steps=section.warmup_share,
        weight_decay=section.weight_decay,
        per_device_train_batch_size=batching.size,
        per_device_eval_batch_size=batching.size,
        gradient_accumulation_steps=batching.accumulation,
        num_train_epochs=section.epochs,
        max_steps=section.max_steps or -1,
        eval_strategy="epoch",
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,  # a NaN must be seen, not averaged away
        disable_tqdm=True,
        report_to=[name for name in section.report_to if name != "mlflow"],  # mlflow hears from the reporter
        use_cpu=not on_gpu,
        bf16=bf16,
        gradient_checkpointing=on_gpu,
        dataloader_pin_memory=on_gpu,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False if world_size() > 1 else None,
    )
    if section.shard_weights and world_size() > 1:
        settings |= {"fsdp": True, "fsdp_config": {"activation_checkpointing": on_gpu}, "gradient_checkpointing": False}
    _place_logs(context)
    return kind(**{**settings, **further})


def packed_trainer(
    kind: type[Any],
    backend: Backend,
    folder: Path,
    tokenizer: Any,
    splits: tuple[Dataset, Dataset],
    context: StageContext,
    batching: Batching,
    **further: Any,
) -> Any:
    """A trainer of an SFTTrainer's kind for the model in `folder`; its `leakage` is measured.

    Args:
        splits: packed rows to train on, and held-out ones (see rows.py).
        further: arguments of TRL's SFTConfig.

    Raises:
        BadRequest: packed documents see each other in this backend.
    """
    from trl import SFTConfig

    section: TrainingSection = context.section
    rows_are_ready = {"skip_prepare_dataset": True}
    collator = PackedCollator(tokenizer.pad_token_id, flatten=backend.name == "unsloth")
    trainer = kind(
        model=backend.load(folder, section, context.request.seed),
        args=training_arguments(
            SFTConfig, context, batching, max_length=section.max_length, dataset_kwargs=rows_are_ready, **further
        ),
        data_collator=collator,
        train_dataset=splits[0],
        eval_dataset=splits[1],
        processing_class=tokenizer,
    )
    trainer.leakage = leakage(trainer.model, collator, splits[0][0]["input_ids"])
    return trainer


def _place_logs(context: StageContext) -> None:
    home = settings.HOME.get().absolute() / "tracking"
    run = f"{context.request.stage}-{context.request.digest[:12]}"
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(home / "tensorboard" / run))
    os.environ.setdefault("WANDB_DIR", str(home))
    os.environ.setdefault("WANDB_NAME", run)
    home.mkdir(parents=True, exist_ok=True)
