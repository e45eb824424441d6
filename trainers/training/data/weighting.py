"""Sample weights: what a conversation's tokens count for in the loss."""

from typing import Any

import torch

from trainers.training.data.rows import IGNORED


class Weighted:
    """Mixed into a TRL trainer, in front of it: the loss is the sum of weight x loss over tokens, over their number.

    Weights have the mean 1 over all trained tokens, so the divisor is the same as without them, and a batch of light
    rows moves the model less than a batch of heavy ones. Logits are whole here: TRL's chunked loss knows no weights.
    """

    _weights: torch.Tensor | None = None

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Keep the batch's weights, which the model does not take, for `weighted_loss`."""
        self._weights = inputs.pop("loss_weights", None)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]

    def weighted_loss(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        """For the trainer's `compute_loss_func`; `labels` and weights have the shape (rows, tokens)."""
        targets = labels[:, 1:].flatten()
        logits = outputs.logits[:, :-1].flatten(0, 1).float()
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")  # 0 where the label is ignored
        if self._weights is not None:
            losses = losses * self._weights[:, 1:].flatten()
        tokens = (targets != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return losses.sum() / tokens
