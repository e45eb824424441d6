"""The trainer's loss set against the model's own, on one batch, before anything is trained."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from trainers.contract import BadRequest, ModelFacts
from trainers.training.leakage import Collate

_ALLOWED = 0.01
"""Of the loss; sums in bfloat16 differ by a few thousandths."""


def loss_type(facts: ModelFacts) -> str:
    """TRL's name of the loss: in chunks, which holds no row's logits in memory at once, where the family allows it.

    TRL makes logits in chunks from the head itself, and so without the factor that Granite and HyperCLOVA X put behind
    it. https://huggingface.co/docs/trl/sft_trainer
    """
    return "chunked_nll" if facts.logit_scale == 1.0 else "nll"


def require_own_loss(trainer: Any, collate: Collate, row: dict[str, Any]) -> None:
    """Refuse a trainer whose loss of a row is not the cross entropy of the model's own logits.

    Raises:
        BadRequest: it is another one.
    """
    model = trainer.model
    device = next(model.parameters()).device
    batch = {name: values.to(device) for name, values in collate([row]).items()}
    was_training = model.training
    model.eval()  # neither dropout nor noise
    with torch.no_grad():
        trained = float(trainer.compute_loss(model, dict(batch)))
        labels = batch.pop("labels")
        logits = model(**batch, use_cache=False).logits.float()
        own = float(cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()))
    model.train(was_training)
    trainer._metrics["eval"].clear()  # TRL counts what it computes; the first evaluation's figures are its own
    if not abs(trained - own) <= _ALLOWED * own:
        raise BadRequest(
            f"the trainer's loss of one row is {trained:.4f}, the model's own logits give {own:.4f}: it would learn "
            f"another distribution than it answers with. The family {model.config.model_type!r} does something "
            "to its logits that this trainer leaves out; say backend: transformers, or report the family"
        )
