"""From hidden states to logits by the model's own code: some families scale or cap what the output matrix gives."""

from copy import copy
from typing import Any

import torch
from transformers import PreTrainedModel

from trainers.contract import BadRequest


def logits_of(model: PreTrainedModel, outputs: Any, places: torch.Tensor) -> torch.Tensor:
    """Logits (places, vocabulary) at some places of a batch.

    The whole model runs with its decoder's answer given, so that all it does after the decoder is done and nothing
    before: Gemma 2 caps its logits, Cohere, Granite and HyperCLOVA X scale them.

    Args:
        outputs: what the model's decoder gave for a batch (rows, width).
        places: indices into the batch laid flat, row after row.

    Raises:
        BadRequest: the model makes its logits of something else than its decoder's answer.
    """
    hidden = outputs.last_hidden_state
    given = copy(outputs)
    # The last layer may lie on another GPU than the first.
    given.last_hidden_state = hidden.reshape(-1, hidden.shape[-1])[places.to(hidden.device)][None]
    answers = []

    def answer(*_: Any, **__: Any) -> Any:
        answers.append(given)
        return given

    decoder = model.get_decoder()
    own = vars(decoder).get("forward")  # accelerate puts one there, where a model lies on several devices
    decoder.forward = answer
    try:
        logits: torch.Tensor = model(input_ids=torch.zeros((1, len(places)), dtype=torch.long), use_cache=False).logits
    finally:
        del decoder.forward
        if own is not None:
            decoder.forward = own
    if not answers:
        raise BadRequest(
            f"{type(model).__name__} cannot be scored: it makes logits without its {type(decoder).__name__}"
        )
    return logits[0]
