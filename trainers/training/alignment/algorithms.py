"""The algorithms of RLHF: for each, TRL's trainer, its settings, and the form of data that it reads."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
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

from trainers.contract import BadRequest, ServiceMissing
from trainers.contract.plugins import PluginName, load_plugin
from trainers.contract.recipe import RlhfSection
from trainers.contract.recipe.alignment import StopRules
from trainers.contract.settings import ROLLOUT_SERVER
from trainers.conversations.messages import Messages
from trainers.training.alignment import pairs
from trainers.training.alignment.hacking import HackingWatch
from trainers.training.alignment.padding_free import PaddingFree
from trainers.training.alignment.pairs import PreferencePair
from trainers.training.alignment.rewards import Reward, reward_functions
from trainers.training.arguments import is_sharded
from trainers.training.data.chat import encode
from trainers.training.loop import Durable


@dataclass(frozen=True)
class Chosen:
    """What a section's algorithm needs."""

    trainer: type
    arguments: type
    rows: Callable[[list[PreferencePair]], list[dict[str, Any]]]
    settings: dict[str, Any]
    reward_functions: list[Reward] = field(default_factory=list)
    watch: HackingWatch | None = None
    trains_reward_model: bool = False


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
    """TRL's trainer with our checkpoints; its data come tokenized and counted already."""

    def _prepare_dataset(self, dataset: Dataset, processing_class: Any, args: Any, dataset_name: str) -> Dataset:
        """Each prompt gets the answer to another one of its batch as well, from which TRL estimates the divergence."""
        if not self.calculate_KL:
            return dataset
        size = args.per_device_train_batch_size
        return dataset.map(answers_of_others, batched=True, batch_size=size)


def answers_of_others(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The column of TRL's that has, for each prompt of a batch, the answer to another one."""
    answers = batch["completion_ids"]
    return {"KL_completion_ids": [answers[-1], *answers[:-1]]}


class RewardModelTrainer(Durable, RewardTrainer):
    """TRL's trainer with our checkpoints."""


class _TextPrompts:
    """Mixed in before an online trainer of TRL's, whose own way would read control tokens out of what people wrote."""

    processing_class: Any

    def _tokenize_prompts(self, prompts: list[Messages]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Token ids of each prompt; there are no images."""
        return [encode(prompt, self.processing_class, add_generation_prompt=True).ids for prompt in prompts], None, {}


class GrpoTrainer(_TextPrompts, Durable, GRPOTrainer):
    """TRL's trainer with our checkpoints."""


class RlooTrainer(_TextPrompts, Durable, RLOOTrainer):
    """TRL's trainer with our checkpoints."""


def dpo(section: RlhfSection, backend: str, trained_rewards: list[Reward]) -> Chosen:
    """Rafailov et al. 2023. Unsloth has a DPO loss and a forward pass of its own: its batches stay as TRL pads them, as
    do those whose reference answers in the same pass."""
    settings = {**_paired(section), "loss_type": [section.loss], "label_smoothing": section.label_smoothing}
    if section.rpo_alpha is not None:
        settings |= {"loss_type": [section.loss, "sft"], "loss_weights": [1.0, section.rpo_alpha]}
    plain = backend == "unsloth" or not settings["precompute_ref_log_probs"]
    return Chosen(DpoTrainer if plain else PaddingFreeDpoTrainer, DPOConfig, pairs.tokenized, settings)


def kto(section: RlhfSection, backend: str, trained_rewards: list[Reward]) -> Chosen:
    """Ethayarajh et al. 2024."""
    return Chosen(KtoTrainer, KTOConfig, pairs.judged_singly, _paired(section))


def _paired(section: RlhfSection) -> dict[str, Any]:
    """The reference's log-probabilities are computed once, before the training; but not where weights are sharded: TRL
    does it before they are, on a model that transformers has left on the CPU, with batches that are on the GPU."""
    return {"beta": section.beta, "max_length": None, "precompute_ref_log_probs": not is_sharded(section)}


def orpo(section: RlhfSection, backend: str, trained_rewards: list[Reward]) -> Chosen:
    """Hong et al. 2024."""
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    class OrpoTrainer(Durable, ORPOTrainer):
        """TRL's trainer with our checkpoints; its data come tokenized: TRL would add BOS and EOS of its own."""

        def tokenize_row(self, feature: dict[str, list[int]], model: Any = None) -> dict[str, list[int]]:
            """See TRL."""
            return pairs.labelled(feature)

    return Chosen(OrpoTrainer, ORPOConfig, pairs.tokenized, {"beta": section.beta, "max_length": section.max_length})


def reward_model(section: RlhfSection, backend: str, trained_rewards: list[Reward]) -> Chosen:
    """A reward model for another training; the policy stays as it is."""
    settings = {"max_length": None}
    return Chosen(RewardModelTrainer, RewardConfig, pairs.whole_conversations, settings, trains_reward_model=True)


def grpo(section: RlhfSection, backend: str, trained_rewards: list[Reward]) -> Chosen:
    """Shao et al. 2024."""
    return _online(GrpoTrainer, GRPOConfig, section, trained_rewards)


def rloo(section: RlhfSection, backend: str, trained_rewards: list[Reward]) -> Chosen:
    """Ahmadian et al. 2024."""
    return _online(RlooTrainer, RLOOConfig, section, trained_rewards)


def _online(trainer: type, arguments: type, section: RlhfSection, trained_rewards: list[Reward]) -> Chosen:
    sampling = section.sampling
    assert sampling is not None  # the section's own check
    settings: dict[str, Any] = {
        "beta": section.beta,
        "num_generations": sampling.generations,
        "max_completion_length": sampling.completion_length,
        "temperature": sampling.temperature,
        **vllm_settings(section),
    }
    watch = HackingWatch(section.stop or StopRules())
    rewards = [*reward_functions(sampling), *trained_rewards]
    settings["reward_weights"] = [1.0] * len(rewards) + [0.0]
    return Chosen(trainer, arguments, pairs.prompts, settings, [*rewards, watch.reward()], watch)


def vllm_settings(section: RlhfSection) -> dict[str, Any]:
    """TRL's settings of the vLLM that answers; none where the model that learns answers itself.

    TRL hands the weights of each step over by NCCL, hence from a GPU (`VLLMClient.init_communicator`).

    Raises:
        BadRequest: there is no GPU, or nobody said where the server is.
        ServiceMissing: vLLM is not installed.
    """
    sampling = section.sampling
    if sampling is None or sampling.vllm is None:
        return {}
    if not torch.cuda.is_available():
        raise BadRequest("sampling.vllm needs a GPU, from which it gets its weights; take the key away here")
    if importlib.util.find_spec("vllm") is None:
        raise ServiceMissing("sampling.vllm: vllm is not installed here; install it in the image, or take the key away")
    chosen = {"use_vllm": True, "vllm_mode": sampling.vllm}
    if sampling.vllm == "colocate":
        return {**chosen, "vllm_max_model_length": section.max_length + sampling.completion_length}
    if (address := ROLLOUT_SERVER.get()) is None:
        raise BadRequest(f"sampling.vllm: server, but {ROLLOUT_SERVER.name} does not say where `trl vllm-serve` is")
    return {**chosen, "vllm_server_base_url": address}


Algorithm = Callable[[RlhfSection, str, list[Reward]], Chosen]
"""Of the section, the backend's name, and the trained rewards (none, or one); nothing may be cut by length: what is too
long was left out and counted before."""
MADE_BY: dict[str, Algorithm] = {
    "dpo": dpo,
    "kto": kto,
    "orpo": orpo,
    "reward_model": reward_model,
    "grpo": grpo,
    "rloo": rloo,
}
"""What makes each of the contract's ALGORITHMS."""


def chosen(section: RlhfSection, backend: str, trained_reward: Reward | None = None) -> Chosen:
    """The section's algorithm; `trained_reward` is none where the recipe names no reward model.

    Raises:
        BadRequest: an algorithm of the user's own is not there, or does not give a `Chosen` with a Durable trainer.
    """
    name, key = section.algorithm, "rlhf.algorithm"
    make: Algorithm = load_plugin(name, key) if isinstance(name, PluginName) else MADE_BY[name]
    algorithm = make(section, backend, [trained_reward] if trained_reward else [])
    if not isinstance(algorithm, Chosen) or not issubclass(algorithm.trainer, Durable):
        raise BadRequest(
            f"{key}: {name} gives {algorithm!r}; it must be a Chosen (trainers/training/alignment/algorithms.py) whose "
            "trainer is a Durable (trainers/training/loop.py), mixed in before TRL's class"
        )
    return algorithm
