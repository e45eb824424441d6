"""The backend of one GPU (or DDP): Unsloth. Imported only where there is a GPU, before trl and transformers."""

import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Importing it patches trl and transformers, and raises where there is no GPU: hence only here.
from unsloth import FastLanguageModel  # isort: skip
from unsloth.utils.attention_dispatch import select_attention_backend  # isort: skip

import torch
import unsloth_zoo.device_type
from safetensors import safe_open

from trainers.contract import BadRequest
from trainers.contract.recipe import TrainingSection
from trainers.training.backends import refuse_float16
from trainers.training.backends.transformers import attention_of, embedding_names, frozen_dtype, with_whole_head
from trainers.training.model_folder import weight_files

_ITS_OWN = "unsloth."
"""Where the attention of the families is from that Unsloth has rewritten; others keep transformers'."""


class UnslothBackend:
    """Unsloth."""

    name = "unsloth"

    def lays_flat(self, model: Any) -> bool:
        """See Backend. Unsloth's own attention takes the pieces of one row by their lengths, whichever kernel there is,
        and does not look at positions; in several rows it would let pieces see each other."""
        return _is_rewritten(model) or attention_of(model).startswith("flash_attention")

    def kernels(self, model: Any) -> dict[str, str]:
        """See Backend."""
        attention = attention_of(model)
        if _is_rewritten(model):
            attention = f"unsloth: {select_attention_backend(use_varlen=True)}"
        return {"attention": attention, "unsloth": version("unsloth")}

    def load(self, folder: Path, section: TrainingSection, seed: int, tokens: Sequence[int] = ()) -> Any:
        """See Backend. Frozen weights are as wide as the section's precision says; where all are trained they are
        float32, as in the transformers backend."""
        if frozen_dtype(section) is torch.float32:
            _compute_in_float32()
        model, _ = FastLanguageModel.from_pretrained(
            model_name=str(folder),
            max_seq_length=section.max_length,
            dtype=frozen_dtype(section),
            load_in_4bit=section.method == "qlora",
            full_finetuning=section.method == "full",
            float32_mixed_precision=True if section.method == "full" else None,
            local_files_only=True,
        )
        refuse_float16(model)
        _leave_embeddings_alone(model, folder)
        settings = section.lora
        if settings is None:
            return model
        if settings.dora:
            raise BadRequest("lora.dora: unsloth has no DoRA; say backend: transformers")
        embeddings = embedding_names(model)
        whole = section.embedding_learning_rate is not None
        adapted = FastLanguageModel.get_peft_model(
            model,
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            use_rslora=settings.rslora,
            target_modules=settings.targets if settings.targets == "all-linear" else list(settings.targets),
            modules_to_save=embeddings if whole else None,
            trainable_token_indices={name: list(tokens) for name in embeddings} if tokens and not whole else None,
            # Its own way puts trained embeddings aside in a file, beside the weights: that is, in the input artifact.
            use_gradient_checkpointing=True if whole else "unsloth",
            random_state=seed,
        )
        for name, weight in adapted.named_parameters():
            if ".trainable_tokens_delta." in name:  # Unsloth freezes what it does not know
                weight.data = weight.data.float()
                weight.requires_grad_(True)
        return with_whole_head(adapted)

    def load_reward_model(self, folder: Path, section: TrainingSection, seed: int) -> Any:
        """Not here.

        Raises:
            BadRequest: always; reward models are trained by the transformers backend.
        """
        raise BadRequest("algorithm: reward_model is not for unsloth; say backend: transformers")


def _compute_in_float32() -> None:
    """In this process: the trainers that Unsloth makes take float32 without autocast for a wish to compute in bfloat16,
    on a GPU that has it, and for what it says on one that has not."""
    unsloth_zoo.device_type.device_is_bf16_supported = lambda: False


def _leave_embeddings_alone(model: Any, folder: Path) -> None:
    """Rows of the embeddings as they lie in `folder`. Unsloth sets the pad token's to zero at loading, and those of
    tokens that were never trained to the mean of the others, or refuses them, where a trainer is made; the other
    backend does neither, and what nothing trains is published as it was."""
    os.environ["UNSLOTH_IGNORED_TOKENIZER_NAMES"] = str(model.config._name_or_path)
    embeddings = model.get_input_embeddings()
    (name,) = (name for name, module in model.named_modules() if module is embeddings)
    ending = f"{name.rpartition('.')[2]}.weight"
    for file in weight_files(folder):
        if file.endswith(".safetensors"):
            with safe_open(folder / file, "pt") as weights:
                for key in weights.keys():  # noqa: SIM118
                    if key.endswith(ending):
                        rows = weights.get_tensor(key)
                        embeddings.weight.data[: len(rows)] = rows.to(embeddings.weight)


def _is_rewritten(model: Any) -> bool:
    return any(
        type(module).__name__.endswith("Attention") and type(module).forward.__module__.startswith(_ITS_OWN)
        for module in model.modules()
    )


def open_here() -> UnslothBackend:
    """The backend, on this machine."""
    return UnslothBackend()
