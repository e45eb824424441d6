"""The backend of every machine: transformers loads, peft adapts; CPU, one GPU, or many through accelerate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BitsAndBytesConfig, set_seed

from trainers.contract import BadRequest, ServiceMissing
from trainers.contract.recipe import TrainingSection
from trainers.training.pissa import remember_beginning


class TransformersBackend:
    """transformers + peft."""

    name = "transformers"

    def lays_flat(self, model: Any) -> bool:
        """See Backend. https://huggingface.co/docs/transformers/en/attention_interface"""
        return attention_of(model).startswith("flash_attention")

    def kernels(self, model: Any) -> dict[str, str]:
        """See Backend."""
        return {"attention": attention_of(model)}

    def load(self, folder: Path, section: TrainingSection, seed: int, tokens: Sequence[int] = ()) -> Any:
        """See Backend.

        Every weight that is trained is float32 (bfloat16 loses small updates); a frozen base is as the section's
        precision says, or 4-bit for qlora; never float16.
        """
        set_seed(seed)  # the adapters' first values
        if section.lora is None:
            return _loaded(AutoModelForCausalLM, folder, section, dtype=torch.float32)
        if section.method == "qlora":
            base = prepare_model_for_kbit_training(_four_bit(folder, section))
        else:
            base = _loaded(AutoModelForCausalLM, folder, section, dtype=frozen_dtype(section))
        adapted = get_peft_model(base, lora_config(section, base, tokens))
        if section.lora.initial == "pissa":
            remember_beginning(adapted)
        return with_whole_head(adapted)

    def load_reward_model(self, folder: Path, section: TrainingSection, seed: int) -> Any:
        """See Backend."""
        set_seed(seed)  # the head's first values, too
        dtype = torch.float32 if section.lora is None else frozen_dtype(section)
        model = _loaded(AutoModelForSequenceClassification, folder, section, num_labels=1, dtype=dtype)
        if section.lora is None:
            return model
        config = lora_config(section, model)
        config.task_type, config.modules_to_save = "SEQ_CLS", ["score", *(config.modules_to_save or ())]
        return get_peft_model(model, config)


def frozen_dtype(section: TrainingSection) -> torch.dtype:
    """The type of weights that are not trained, and of what is computed. A section that leaves it open is for no GPU.

    Raises:
        BadRequest: this machine's GPU has no bfloat16.
    """
    if section.precision != "bfloat16":
        return torch.float32
    if torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        raise BadRequest(
            f"precision: bfloat16, which a {torch.cuda.get_device_name()} does not have; say precision: float32, or "
            "ask for a newer GPU"
        )
    return torch.bfloat16


def with_whole_head(adapted: Any) -> Any:
    """A peft model whose head has a bias, or none: peft wraps the weight only, and TRL's loss asks for both."""
    head = adapted.get_output_embeddings()
    if not hasattr(head, "bias"):
        head.bias = getattr(head.original_module, "bias", None)
    return adapted


def attention_of(model: Any) -> str:
    """transformers' name of the attention that the model computes."""
    return str(model.config._attn_implementation)


def lora_config(section: TrainingSection, model: Any, tokens: Sequence[int] = ()) -> LoraConfig:
    """The section's adapters; embeddings are copied and trained whole where they have a rate of their own, else only
    the rows of `tokens`."""
    settings = section.lora
    assert settings is not None  # the section's own check
    whole = section.embedding_learning_rate is not None
    embeddings = embedding_names(model)
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_dora=settings.dora,
        use_rslora=settings.rslora,
        init_lora_weights="pissa" if settings.initial == "pissa" else True,
        target_modules=settings.targets if settings.targets == "all-linear" else list(settings.targets),
        modules_to_save=embeddings if whole else None,
        ensure_weight_tying=whole,
        trainable_token_indices={name: list(tokens) for name in embeddings} if tokens and not whole else None,
        task_type="CAUSAL_LM",
    )


def _loaded(kind: Any, folder: Path, section: TrainingSection, **settings: Any) -> Any:
    """The model in `folder`, with the section's attention.

    Raises:
        ServiceMissing: this machine has no kernel for it.
        BadRequest: the family has none.
    """
    try:
        return kind.from_pretrained(folder, attn_implementation=section.attention, **settings)
    except ImportError as error:
        raise ServiceMissing(
            f"attention: {section.attention} cannot be had here ({error}); say attention: sdpa"
        ) from error
    except ValueError as error:
        if "attn_implementation" not in str(error):  # transformers' advice, where the class has not the one asked for
            raise
        raise BadRequest(
            f"attention: {section.attention} is none of this family's; say attention: eager. {error}"
        ) from error


def embedding_names(model: Any) -> list[str]:
    """What the family calls the layers of its input and its output embeddings."""
    layers = [layer for layer in (model.get_input_embeddings(), model.get_output_embeddings()) if layer is not None]
    return [name.rpartition(".")[2] for name, module in model.named_modules() if module in layers]


def _four_bit(folder: Path, section: TrainingSection) -> Any:
    settings = BitsAndBytesConfig(**four_bit_settings(section))
    return _loaded(AutoModelForCausalLM, folder, section, quantization_config=settings, dtype=frozen_dtype(section))


def four_bit_settings(section: TrainingSection) -> dict[str, Any]:
    """bitsandbytes' settings of a 4-bit base. Sharded, its bits lie in numbers of the type that is computed in:
    accelerate leaves bytes out of FSDP2, and each GPU would hold them all (`fsdp2_prepare_model`)."""
    settings = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": frozen_dtype(section),
    }
    return settings | ({"bnb_4bit_quant_storage": frozen_dtype(section)} if section.shard_weights else {})


def open_here() -> TransformersBackend:
    """The backend, on this machine."""
    return TransformersBackend()
