"""Supervised fine-tuning on conversations: the loss is on the assistant's tokens only."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainers.contract import BadData, BadRequest
from trainers.contract.recipe import SftSection
from trainers.runner.ranks import leader_first
from trainers.runner.stage import StageContext, StageResult
from trainers.training.backends import open_backend
from trainers.training.model_facts import facts_of, parent_of, require_room
from trainers.training.model_folder import ModelFolder


def run(context: StageContext) -> StageResult | None:
    """Make `sft_model` from `cpt_checkpoint`, `instructions`, and `corpus` where text is replayed."""
    section: SftSection = context.section
    folder = ModelFolder(context.inputs["cpt_checkpoint"] / "model").check(chat=True)
    facts = facts_of(parent_of(context), folder.path)
    require_room(section.max_length, facts)
    backend = open_backend(section, context.scratch, context.reporter.say)  # before trl is imported
    from transformers import AutoTokenizer
    from trl import SFTTrainer

    from trainers.training.arguments import rows_trainer
    from trainers.training.data.length_buckets import row_buckets
    from trainers.training.data.rows import PackedCollator
    from trainers.training.data.sft_rows import conversation_rows
    from trainers.training.data.weighting import Weighted
    from trainers.training.loop import Durable, train
    from trainers.training.replay import text_replay
    from trainers.training.result import training_result
    from trainers.training.steps import Batching, row_multiple, step_rows

    class ConversationTrainer(Weighted, Durable, SFTTrainer):
        """TRL's trainer with our checkpoints, sample weights and length buckets."""

        def _get_train_sampler(self, *arguments: Any) -> Any:
            return buckets.following(lambda: int(self.state.epoch or 0))

    tokenizer = AutoTokenizer.from_pretrained(folder.path)
    source, scratch = context.inputs["instructions"], context.scratch
    train_set, validation_set = (read_conversations(source / f"{split}.jsonl") for split in ("train", "validation"))
    with leader_first():
        data = conversation_rows(train_set, scratch / "train.arrow", tokenizer, facts, section)
        # Weights say what to learn from, not what is measured.
        unweighted = [{**row, "weight": 1} for row in validation_set]
        held_out = conversation_rows(unweighted, scratch / "validation.arrow", tokenizer, facts, section)
    weighted = "weights" in data.rows.column_names
    if weighted and section.context_parallel > 1:
        raise BadRequest("context_parallel does not go with weights of conversations; take the key away")
    buckets = row_buckets(data.rows, step_rows(section), context.request.seed)
    data.audit["fill"] = round(buckets.fill(section.batch_size), 6)
    context.reporter.params({**context.request.section, **data.audit})
    context.reporter.say(f"{data.audit['conversations']:,} conversations in {data.audit['rows']:,} rows")
    context.reporter.say(f"trained part in ⟦⟧: {data.mask_sample!r}")

    replay = text_replay(context, tokenizer, facts, len(data.rows))

    def build(batching: Batching) -> Any:
        # A base has never written an end of turn, and adapters alone leave its embedding as it is (QwenLM/Qwen3#1064).
        # peft cannot train single rows of sharded weights.
        learned = () if section.shard_weights else (facts.end_of_turn,)
        model = backend.load(folder.path, section, context.request.seed, learned)
        flat = section.layout == "packed" and backend.lays_flat(model)
        collator = PackedCollator(facts.pad, flat, row_multiple(section))
        # The noise of Jain et al. is alpha / sqrt(length x width) with the length of one conversation; transformers
        # takes the length of the row, in which many lie: packed, it would be a fraction of what the key says.
        arguments: dict[str, Any] = {}
        if section.neftune_alpha is not None:
            together = data.audit["conversations"] / data.audit["rows"] * (batching.size if collator.flatten else 1)
            arguments["neftune_noise_alpha"] = section.neftune_alpha * math.sqrt(together)
        if weighted:
            arguments["loss_type"] = "nll"
        splits = (data.rows, held_out.rows)
        trainer = rows_trainer(
            ConversationTrainer, model, collator, tokenizer, facts, splits, context, batching, **arguments
        )
        if weighted:
            trainer.compute_loss_func = trainer.weighted_loss
        trainer.replay = replay and replay.beside(model, backend)
        return trainer

    tokens = int(data.audit["tokens"])
    trainer, trained = train(build, context, data.digest, tokens / len(data.rows))
    return training_result(
        context,
        trainer,
        trained,
        folder,
        backend=backend,
        tokens_per_epoch=tokens,
        packing=data.audit | (replay.audit if replay else {}),
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
