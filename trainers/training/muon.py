"""Muon for the matrices between the layers, AdamW for all else, as one optimizer (Jordan et al. 2024)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import AdamW, Muon, Optimizer

from trainers.contract.recipe import TrainingSection
from trainers.training.learning_rates import embeddings


class MuonAndAdamW(Optimizer):
    """Two optimizers that share out the weights; their groups are its own, so that schedules and rates reach both."""

    def __init__(self, muon: Muon, adamw: AdamW):
        self._parts: tuple[Muon, AdamW] = (muon, adamw)
        super().__init__(self._groups(), {})

    def _groups(self) -> list[dict[str, Any]]:
        return [group for part in self._parts for group in part.param_groups]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """A group that is set apart later stays with the part whose settings it has."""
        if all(param_group is not group for group in self._groups()):
            part = next(part for part in self._parts if part.defaults.keys() <= param_group.keys())
            part.add_param_group(param_group)
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """See torch."""
        loss = closure() if closure is not None else None
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Both parts' states."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Both parts' states."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = self._groups()


def muon_and_adamw(model: Any, decayed: Iterable[str], section: TrainingSection) -> MuonAndAdamW:
    """The optimizer of a model that is trained whole; `decayed` names the weights that decay pulls at.

    Muon's updates are scaled to the size of AdamW's, so that one learning rate fits both (Liu et al. 2025, section
    2.2). Embeddings and the head stay AdamW's, as in both papers.
    """
    names, learning = set(decayed), [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    of_tokens = embeddings(model)
    matrices = [one for name, one in learning if one.ndim == 2 and one not in of_tokens and name in names]
    of_muon = set(matrices)
    rest = [(name, one) for name, one in learning if one not in of_muon]
    rate, decay = section.learning_rate, section.weight_decay
    groups = [
        {"params": [one for name, one in rest if (name in names) == decays], "weight_decay": decay if decays else 0.0}
        for decays in (True, False)
    ]
    on_gpu = torch.cuda.is_available()
    return MuonAndAdamW(
        Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        AdamW(groups, lr=rate, betas=(0.9, section.adam_beta2), fused=on_gpu or None),
    )
