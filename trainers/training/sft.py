"""Supervised fine-tuning on conversations: the loss is on the assistant's tokens only."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trainers.contract import BadData
from trainers.contract.recipe import SftSection
from trainers.runner.ranks import leader_first, world_size
from trainers.runner.stage import StageContext, StageResult
from trainers.training.backends import open_backend
from trainers.training.model_folder import ModelFolder


def run(context: StageContext) -> StageResult:
    """Make `sft_model` from `cpt_checkpoint` and `instructions`."""
    section: SftSection = context.section
    folder = ModelFolder(context.inputs["cpt_checkpoint"] / "model").check(max_length=section.max_length, chat=True)
    backend = open_backend(section)  # before trl is imported
    from transformers import AutoTokenizer
    from trl import SFTTrainer

    from trainers.training.arguments import Batching, packed_trainer
    from trainers.training.data.length_buckets import LengthBuckets
    from trainers.training.data.sft_rows import conversation_rows
    from trainers.training.data.weighting import Weighted
    from trainers.training.loop import Durable, train
    from trainers.training.result import training_result

    class ConversationTrainer(Weighted, Durable, SFTTrainer):
        """TRL's trainer with our checkpoints, sample weights and length buckets."""

        def _get_train_sampler(self, *arguments: Any) -> Any:
            return buckets(lambda: int(self.state.epoch or 0))

    def buckets(*epoch: Callable[[], int]) -> LengthBuckets:
        return LengthBuckets(lengths, step_rows, context.request.seed, *epoch)

    tokenizer = AutoTokenizer.from_pretrained(folder.path)
    source, scratch = context.inputs["instructions"], context.scratch
    train_set, validation_set = (read_conversations(source / f"{split}.jsonl") for split in ("train", "validation"))
    with leader_first():
        data = conversation_rows(train_set, scratch / "train.arrow", tokenizer, section)
        # Weights say what to learn from, not what is measured.
        unweighted = [{**row, "weight": 1} for row in validation_set]
        held_out = conversation_rows(unweighted, scratch / "validation.arrow", tokenizer, section)
    weighted = "weights" in data.rows.column_names
    lengths = [sum(pieces) for pieces in data.rows["lengths"]]
    step_rows = section.batch_size * section.accumulation * world_size()
    data.audit["fill"] = round(buckets().fill(section.batch_size), 6)
    context.reporter.params({**context.request.section, **data.audit})
    context.reporter.say(f"{data.audit['conversations']:,} conversations in {data.audit['rows']:,} rows")
    context.reporter.say(f"trained part in ⟦⟧: {data.mask_sample!r}")

    def build(batching: Batching) -> Any:
        arguments: dict[str, Any] = {"neftune_noise_alpha": section.neftune_alpha}
        if weighted:
            arguments["loss_type"] = "nll"
        splits = (data.rows, held_out.rows)
        trainer = packed_trainer(
            ConversationTrainer, backend, folder.path, tokenizer, splits, context, batching, **arguments
        )
        if weighted:
            trainer.compute_loss_func = trainer.weighted_loss
        return trainer

    tokens = int(data.audit["tokens"])
    trainer, trained = train(build, context, data.digest, tokens / len(data.rows))
    return training_result(
        context,
        trainer,
        trained,
        folder,
        backend=backend.name,
        tokens_per_epoch=tokens,
        packing=data.audit,
        mask_sample=data.mask_sample,
    )


def read_conversations(path: Path) -> list[dict[str, Any]]:
    """The rows of an instruction set; each has `messages`.

    Raises:
        BadData: the file has no row.
    """
    rows = list(_json_lines(path))
    if not rows:
        raise BadData(f"{path} has no usable row")
    return rows


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)
