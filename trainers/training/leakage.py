"""Cross-document leakage, measured in the model that is about to be trained: do packed pieces see each other?"""

from collections.abc import Callable
from typing import Any

import torch

from trainers.contract import BadRequest

_PIECE = 32
_ALLOWED = 0.01

Collate = Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]


def leakage(model: Any, collate: Collate, ids: list[int]) -> float:
    """How much of what a document tells the text after it still reaches a piece that is packed behind it: 0 to 1.

    `ids` (at least two) are cut into two pieces. The first one's tokens are exchanged, and the largest change of a
    logit of the second is set against that change where both pieces are one document.

    Raises:
        BadRequest: more than a hundredth reaches it: the model's attention does not heed the pieces' bounds.
    """
    half = min(len(ids) // 2, _PIECE)
    first, second = ids[:half], ids[half : 2 * half]
    others = [token - 1 if token else 1 for token in first]
    was_training = model.training
    model.eval()  # no dropout: nothing but the first piece may differ
    changes = []
    for lengths in ([half, half], [2 * half]):
        before, after = (_logits(model, collate, begin + second, lengths)[half:] for begin in (first, others))
        changes.append(float((before - after).abs().max()))
    model.train(was_training)
    apart, joined = changes
    share = apart / joined if joined else 0.0  # of a model that heeds no context, nothing leaks
    if share > _ALLOWED:
        raise BadRequest(
            f"documents in one row see each other: {share:.1%} of what a document tells the text after it reaches the "
            "next document, too. The attention of this family and backend does not heed packed positions: say backend: "
            "transformers, or lay each document into a row of its own (cpt.layout: rows, sft.layout: buckets)"
        )
    return share


@torch.no_grad()
def _logits(model: Any, collate: Collate, ids: list[int], lengths: list[int]) -> torch.Tensor:
    device = next(model.parameters()).device
    batch = collate([{"input_ids": ids, "lengths": lengths}])
    inputs = {name: values.to(device) for name, values in batch.items() if name != "labels"}
    logits: torch.Tensor = model(**inputs, use_cache=False).logits[0].float()
    return logits
