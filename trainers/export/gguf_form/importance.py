"""How much each input of a linear layer matters, so that few bits are spent where they count (llama.cpp's imatrix)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainers.export.gguf_form.families import Array

_TOKENS = 256
"""Of each text."""


@torch.inference_mode()
def importances(folder: Path, texts: Sequence[str]) -> dict[str, Array]:
    """Mean square of each input of a model's linear layers over texts: name of the weight -> float32, one a column.

    As llama.cpp's `imatrix` tool reckons it: https://github.com/ggml-org/llama.cpp/tree/master/tools/imatrix
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype="auto").eval()
    sums: dict[str, torch.Tensor] = {}

    def add(name: str, inputs: torch.Tensor) -> None:
        squares = inputs.reshape(-1, inputs.shape[-1]).float().square().sum(dim=0)
        sums[name] = sums[name] + squares if name in sums else squares

    def noting(name: str) -> Any:
        return lambda module, inputs: add(name, inputs[0])

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(noting(f"{name}.weight"))
    tokens = 0
    for text in texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"][:, :_TOKENS]
        model(input_ids=ids)
        tokens += ids.shape[1]
    return {name: (total / tokens).numpy() for name, total in sums.items()}
