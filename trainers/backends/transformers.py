"""The backend of every machine: transformers loads, peft adapts; CPU, one GPU, or many through accelerate."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, set_seed

from trainers.recipe import TrainingSection


class TransformersBackend:
    """transformers + peft."""

    name = "transformers"

    def load(self, folder: Path, section: TrainingSection, seed: int) -> Any:
        """See Backend. float32 on CPU, bfloat16 on GPUs that have it, else float32; never float16."""
        on_gpu = torch.cuda.is_available()
        dtype = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float32
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        if section.lora is None:
            return model
        set_seed(seed)  # the adapters' first values
        settings = section.lora
        targets = settings.targets if settings.targets == "all-linear" else list(settings.targets)
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=targets,
            task_type="CAUSAL_LM",
        )
        return get_peft_model(model, config)


def open_here() -> TransformersBackend:
    """The backend, on this machine."""
    return TransformersBackend()
