"""The algorithms of RLHF: for each, TRL's trainer, its settings, and the form of data that it reads."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
)

from trainers.contract.recipe import RlhfSection
from trainers.contract.recipe.alignment import StopRules
from trainers.training.alignment import pairs
from trainers.training.alignment.hacking import HackingWatch
from trainers.training.alignment.padding_free import PaddingFree
from trainers.training.alignment.pairs import Pair
from trainers.training.alignment.rewards import Reward, reward_functions
from trainers.training.loop import Durable


@dataclass(frozen=True)
class Chosen:
    """What a section's algorithm needs."""

    trainer: type
    arguments: type
    rows: Callable[[list[Pair]], list[dict[str, Any]]]
    settings: dict[str, Any]
    reward_functions: list[Reward] = field(default_factory=list)
    watch: HackingWatch | None = None


class DpoTrainer(Durable, DPOTrainer):
    """TRL's trainer with our checkpoints; its data come tokenized and counted already."""

    def _prepare_dataset(self, dataset: Dataset, *arguments: Any) -> Dataset:
        return dataset


class PaddingFreeDpoTrainer(DpoTrainer):
    """No padding and no prompt's logits are computed, in training, in evaluation and for the reference."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *arguments: Any, **named: Any) -> Any:
        """See TRL."""
        return super().compute_loss(self._padding_free(model, inputs), inputs, *arguments, **named)

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
        """See TRL."""
        return super().compute_ref_log_probs(self._padding_free(model, inputs), inputs)

    def _padding_free(self, model: Any, inputs: dict[str, Any]) -> PaddingFree:
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        return PaddingFree(model, head, inputs["completion_mask"])


class KtoTrainer(Durable, KTOTrainer):
    """TRL's trainer with our checkpoints."""


class RewardModelTrainer(Durable, RewardTrainer):
    """TRL's trainer with our checkpoints."""


class GrpoTrainer(Durable, GRPOTrainer):
    """TRL's trainer with our checkpoints."""


class RlooTrainer(Durable, RLOOTrainer):
    """TRL's trainer with our checkpoints."""


def chosen(section: RlhfSection, backend: str, judge: Reward | None = None) -> Chosen:
    """The section's algorithm; `judge` is the trained reward, where there is one.

    Nothing is cut by length: what is too long was left out and counted before. Unsloth has a DPO loss and a forward
    pass of its own: its batches stay as TRL pads them.
    """
    if section.algorithm == "dpo":
        own = {"beta": section.beta, "max_length": None, "precompute_ref_log_probs": True, "loss_type": ["sigmoid"]}
        trainer = DpoTrainer if backend == "unsloth" else PaddingFreeDpoTrainer
        return Chosen(trainer, DPOConfig, pairs.tokenized, own)
    if section.algorithm == "kto":
        own = {"beta": section.beta, "max_length": None, "precompute_ref_log_probs": True}
        return Chosen(KtoTrainer, KTOConfig, pairs.judged_singly, own)
    if section.algorithm == "orpo":
        return _orpo(section)
    if section.algorithm == "reward_model":
        return Chosen(RewardModelTrainer, RewardConfig, pairs.whole_conversations, {"max_length": None})
    return _online(section, [judge] if judge else [])


def _orpo(section: RlhfSection) -> Chosen:
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    class OrpoTrainer(Durable, ORPOTrainer):
        """TRL's trainer with our checkpoints."""

    return Chosen(OrpoTrainer, ORPOConfig, pairs.in_messages, {"beta": section.beta, "max_length": section.max_length})


def _online(section: RlhfSection, judges: list[Reward]) -> Chosen:
    settings = section.sampling
    assert settings is not None  # the section's own check
    own: dict[str, Any] = {
        "beta": section.beta,
        "num_generations": settings.generations,
        "max_completion_length": settings.completion_length,
        "temperature": settings.temperature,
    }
    watch = HackingWatch(section.stop or StopRules())
    judging = [*reward_functions(settings), *judges]
    own["reward_weights"] = [1.0] * len(judging) + [0.0]
    functions: list[Reward] = [*judging, watch.reward()]
    trainer, arguments = (GrpoTrainer, GRPOConfig) if section.algorithm == "grpo" else (RlooTrainer, RLOOConfig)
    return Chosen(trainer, arguments, pairs.prompts, own, functions, watch)
