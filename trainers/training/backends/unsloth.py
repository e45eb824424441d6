"""The backend of one GPU (or DDP): Unsloth. Imported only where there is a GPU, before trl and transformers."""

from pathlib import Path
from typing import Any

# Importing it patches trl and transformers, and raises where there is no GPU: hence only here.
from unsloth import FastLanguageModel  # isort: skip

from trainers.contract import BadRequest
from trainers.contract.recipe import TrainingSection


class UnslothBackend:
    """Unsloth."""

    name = "unsloth"

    def load(self, folder: Path, section: TrainingSection, seed: int) -> Any:
        """See Backend. Unsloth chooses the weights' type by the hardware (bfloat16 where there is bfloat16)."""
        model, _ = FastLanguageModel.from_pretrained(
            model_name=str(folder),
            max_seq_length=section.max_length,
            dtype=None,
            load_in_4bit=section.method == "qlora",
            full_finetuning=section.method == "full",
            local_files_only=True,
        )
        settings = section.lora
        if settings is None:
            return model
        if settings.dora:
            raise BadRequest("lora.dora: unsloth has no DoRA; say backend: transformers")
        targets = (
            ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
            if settings.targets == "all-linear"
            else list(settings.targets)
        )
        return FastLanguageModel.get_peft_model(
            model,
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=targets,
            modules_to_save=["embed_tokens", "lm_head"] if section.embedding_learning_rate else None,
            use_gradient_checkpointing="unsloth",
            random_state=seed,
        )

    def load_reward_model(self, folder: Path, section: TrainingSection, seed: int) -> Any:
        """Not here.

        Raises:
            BadRequest: always; reward models are trained by the transformers backend.
        """
        raise BadRequest("algorithm: reward_model is not for unsloth; say backend: transformers")


def open_here() -> UnslothBackend:
    """The backend, on this machine."""
    return UnslothBackend()
