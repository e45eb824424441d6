"""The backend of every machine: transformers loads, peft adapts; CPU, one GPU, or many through accelerate."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BitsAndBytesConfig, set_seed

from trainers.contract.recipe import TrainingSection


class TransformersBackend:
    """transformers + peft."""

    name = "transformers"

    def load(self, folder: Path, section: TrainingSection, seed: int) -> Any:
        """See Backend.

        Every weight that is trained is float32 (bfloat16 loses small updates); a frozen base is bfloat16 on GPUs
        that have it, 4-bit for qlora, and float32 on a CPU; never float16.
        """
        set_seed(seed)  # the adapters' first values
        if section.lora is None:
            return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        if section.method == "qlora":
            base = prepare_model_for_kbit_training(_four_bit(folder))
        else:
            base = AutoModelForCausalLM.from_pretrained(folder, dtype=frozen_dtype())
        return get_peft_model(base, lora_config(section))

    def load_reward_model(self, folder: Path, section: TrainingSection, seed: int) -> Any:
        """See Backend."""
        set_seed(seed)  # the head's first values, too
        dtype = torch.float32 if section.lora is None else frozen_dtype()
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=dtype)
        if section.lora is None:
            return model
        config = lora_config(section)
        config.task_type, config.modules_to_save = "SEQ_CLS", ["score"]
        return get_peft_model(model, config)


def frozen_dtype() -> torch.dtype:
    """The type of weights that are not trained, on this machine."""
    bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if bf16 else torch.float32


def lora_config(section: TrainingSection) -> LoraConfig:
    """The section's adapters; embeddings are copied and trained whole where they have a rate of their own."""
    settings = section.lora
    assert settings is not None  # the section's own check
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_dora=settings.dora,
        target_modules=settings.targets if settings.targets == "all-linear" else list(settings.targets),
        modules_to_save=["embed_tokens", "lm_head"] if section.embedding_learning_rate else None,
        ensure_weight_tying=bool(section.embedding_learning_rate),
        task_type="CAUSAL_LM",
    )


def _four_bit(folder: Path) -> Any:
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=frozen_dtype(),
    )
    return AutoModelForCausalLM.from_pretrained(folder, quantization_config=settings, dtype=frozen_dtype())


def open_here() -> TransformersBackend:
    """The backend, on this machine."""
    return TransformersBackend()
