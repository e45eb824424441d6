"""Replay: pre-training text beside what a later stage learns, so that the model keeps its language.

After the micro-batches of a step, rows of the corpus add their own loss (PPO-ptx, Ouyang et al. 2022), whatever the
stage and its algorithm: the stage's loss, its batches and its figures stay as they are.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from datasets import Dataset

from trainers.contract import BadRequest, ModelFacts
from trainers.contract.recipe import ReplaySettings
from trainers.runner.ranks import leader_first, rank, world_size
from trainers.runner.stage import StageContext
from trainers.training.backends import Backend
from trainers.training.data.cpt_rows import corpus_rows
from trainers.training.data.rows import PackedCollator
from trainers.training.steps import step_rows


@dataclass
class TextReplay:
    """Rows of the corpus, so many to each step; which ones follows from the step alone, so that a resumed
    training sees what it would have seen. `settings.rows` are this process' own."""

    rows: Dataset
    collate: PackedCollator
    settings: ReplaySettings
    audit: dict[str, float]
    packed: bool = True

    def beside(self, model: Any, backend: Backend) -> "TextReplay":
        """This replay for a backend's model, laid out as its attention wants it."""
        flatten = self.packed and backend.lays_flat(model)
        return replace(self, collate=replace(self.collate, flatten=flatten))

    def backward(self, trainer: Any, model: Any) -> float:
        """Add the gradient of a step's rows to what the step has gathered; returns their mean loss (nats a token)."""
        losses = []
        for rows in self._batches(trainer.state.global_step, trainer.args.per_device_train_batch_size):
            batch = trainer._prepare_input(self.collate(rows))  # not `_prepare_inputs`, in which GRPO and RLOO answer
            with trainer.compute_loss_context_manager():
                loss = model(**batch, use_cache=False).loss * (len(rows) / self.settings.rows)
            trainer.accelerator.backward(loss * self.settings.weight)
            losses.append(loss.detach())
        return float(torch.stack(losses).sum())

    def _batches(self, step: int, size: int) -> Iterator[list[dict[str, Any]]]:
        """The rows of one step in this process, at most `size` at once; after the last row comes the first again."""
        first = (step * world_size() + rank()) * self.settings.rows
        rows = [self.rows[place % len(self.rows)] for place in range(first, first + self.settings.rows)]
        for at in range(0, len(rows), size):
            yield rows[at : at + size]


def text_replay(context: StageContext, tokenizer: Any, facts: ModelFacts, rows: int) -> TextReplay | None:
    """The section's replay for a training on so many rows of the stage's own; None where the recipe has none.

    Its rows are of the section's `max_length` and as many as the training can use: documents of the corpus' training
    split in the order of their hashes, so the first ones are a fair sample.
    """
    section, settings = context.section, context.section.replay
    if settings is None:
        return None
    beside = settings.rows * (section.processes or world_size())
    if beside % world_size():
        raise BadRequest(f"replay: {beside} rows beside each step cannot be divided among {world_size()} processes")
    steps = math.ceil(section.epochs * rows / step_rows(section))
    most = min(steps, section.max_steps or steps) * beside * section.max_length
    folder, kept = context.inputs["corpus"] / "train", context.scratch / "replay.arrow"
    packed = getattr(section, "layout", "packed") == "packed"  # rlhf has none
    with leader_first():
        data = corpus_rows(folder, kept, tokenizer, facts, section.max_length, most_tokens=most, packed=packed)
    context.reporter.say(f"replay: {beside} rows of pre-training text beside each step, of {len(data.rows):,}")
    return TextReplay(
        data.rows.shuffle(seed=context.request.seed, keep_in_memory=True),
        PackedCollator(facts.pad),
        settings.model_copy(update={"rows": beside // world_size()}),
        {"replay_rows": len(data.rows), "replay_documents": data.audit["documents"]},
        packed,
    )
