"""RLHF algorithms: `rlhf.algorithm: "korean_extras.algorithms:ipo"`."""

from dataclasses import replace

from trainers.contract.recipe import RlhfSection
from trainers.training.alignment.algorithms import Chosen, PaddingFreeDpoTrainer, dpo
from trainers.training.alignment.rewards import Reward


class IpoTrainer(PaddingFreeDpoTrainer):
    """DPO's data and forward pass."""


def ipo(section: RlhfSection, backend: str, trained_rewards: list[Reward]) -> Chosen:
    """Azar et al. 2023: DPO with a squared loss, which does not grow without end on pairs that all agree on."""
    algorithm = dpo(section, backend, trained_rewards)
    return replace(algorithm, trainer=IpoTrainer, settings={**algorithm.settings, "loss_type": ["ipo"]})


def nothing(section: RlhfSection, backend: str, trained_rewards: list[Reward]) -> None:
    """No algorithm."""
