"""PiSSA (Meng et al. 2024): adapters begin as the strongest directions of the weights, which leave the base in turn.

The base in memory is thus not the published one. What is published is an adapter of that one: A and B beside what they
began as, taken away, in twice the rank.
"""

import math
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

_WEIGHTS = "adapter_model.safetensors"


def remember_beginning(adapted: Any) -> None:
    """Keep on the host, beside the model, what its adapters are before they learn."""
    first = get_peft_model_state_dict(adapted)
    adapted.first_adapter = {name: weight.detach().cpu().clone() for name, weight in first.items() if "lora_" in name}


def as_adapter_of_the_whole_base(adapted: Any, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Change the adapter saved in `folder`, with these settings, into one of the base that nothing was taken from.

    W - s B0 A0 + s B A = W + s [B, -B0] [A; A0]: the scale s stays, though the rank is twice what it was. Returns the
    settings; those of an adapter that began at zero, and its weights, stay what they are.
    """
    first = getattr(adapted, "first_adapter", None)
    if first is None:
        return settings
    weights = load_file(folder / _WEIGHTS)
    for name, before in first.items():
        is_a = "lora_A" in name
        weights[name] = torch.cat([weights[name], before if is_a else -before], dim=0 if is_a else 1).contiguous()
    save_file(weights, folder / _WEIGHTS, metadata={"format": "pt"})
    alpha = settings["lora_alpha"] * (math.sqrt(2) if settings["use_rslora"] else 2)
    return {**settings, "r": 2 * settings["r"], "lora_alpha": alpha, "init_lora_weights": True}
