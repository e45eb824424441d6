"""What a family's weights and config are called in GGUF, and what llama.cpp computes otherwise than transformers.

As llama.cpp's convert_hf_to_gguf.py does it; names of tensors come from the `gguf` package's own maps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
from gguf import MODEL_ARCH, GGUFWriter, RopeScalingType

from trainers.contract import BadRequest

Array = numpy.ndarray[Any, Any]
_ROPE_TYPES = {"linear": RopeScalingType.LINEAR, "yarn": RopeScalingType.YARN}


@dataclass(frozen=True)
class Family:
    """One of llama.cpp's architectures."""

    architecture: MODEL_ARCH
    interleaved_rope: bool = False
    """Its rotary pairs are neighbours, where transformers' are half a head apart."""
    norms_from_zero: bool = False
    """transformers keeps its norms' weights less 1."""
    layers_of_a_window: int | None = None
    """It knows sliding windows, in all layers but each so many'th."""


FAMILIES = {
    "llama": Family(MODEL_ARCH.LLAMA, interleaved_rope=True),
    "mistral": Family(MODEL_ARCH.LLAMA, interleaved_rope=True),
    "qwen2": Family(MODEL_ARCH.QWEN2),
    "qwen3": Family(MODEL_ARCH.QWEN3),
    "gemma3_text": Family(MODEL_ARCH.GEMMA3, norms_from_zero=True, layers_of_a_window=6),
    "exaone4": Family(MODEL_ARCH.EXAONE4),
}
"""By `model_type` of a text model's config."""


def family_of(config: dict[str, Any]) -> Family:
    """The family of a model.

    Raises:
        BadRequest: it is not among them, or its settings are not among those that llama.cpp computes.
    """
    kind = config["model_type"]
    if kind not in FAMILIES:
        raise BadRequest(
            f"recipe key export.gguf: a model of type {kind!r} is not written as GGUF here; those that are: "
            f"{', '.join(FAMILIES)}. Remove the key, or use llama.cpp's convert_hf_to_gguf.py on the exported model/"
        )
    family = FAMILIES[kind]
    windows = [kind == "sliding_attention" for kind in config.get("layer_types") or []]
    every = family.layers_of_a_window
    expected = [bool(every) and (layer + 1) % every != 0 for layer in range(len(windows))] if every else []
    if any(windows) and windows != expected:
        raise BadRequest("recipe key export.gguf: llama.cpp does not compute this model's pattern of sliding windows")
    wanted = config.get("query_pre_attn_scalar")
    if wanted not in (None, config["head_dim"]):
        raise BadRequest(f"recipe key export.gguf: llama.cpp does not scale this model's attention by {wanted}")
    return family


def write_sizes(writer: GGUFWriter, config: dict[str, Any], family: Family) -> None:
    """The model's shape, norms and rotary embedding."""
    heads = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    if family.layers_of_a_window:
        writer.add_sliding_window(config["sliding_window"])
    rope = _rope(config)
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    if scaling := _ROPE_TYPES.get(rope["rope_type"]):
        writer.add_rope_scaling_type(scaling)
        writer.add_rope_scaling_factor(float(rope["factor"]))
        if original := rope.get("original_max_position_embeddings"):
            writer.add_rope_scaling_orig_ctx_len(int(original))


def rope_factors(config: dict[str, Any]) -> Array | None:
    """What Llama 3's scaling divides each frequency by (float32, width / 2), in GGUF a tensor; else None."""
    rope = _rope(config)
    if rope["rope_type"] != "llama3":
        return None
    heads = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or config["hidden_size"] // heads)
    original, factor = float(rope["original_max_position_embeddings"]), float(rope["factor"])
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    waves = 2 * math.pi * float(rope["rope_theta"]) ** (numpy.arange(0, width, 2) / width)
    smooth = numpy.clip((original / waves - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(numpy.float32)


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    rope: dict[str, Any] = config["rope_parameters"]
    rope = rope.get("full_attention", rope)  # by kind of layer, where there are several kinds
    if rope["rope_type"] not in ("default", "llama3", *_ROPE_TYPES):
        raise BadRequest(f"recipe key export.gguf: rope scaling {rope['rope_type']!r} is not written as GGUF here")
    return rope


def change_of(name: str, config: dict[str, Any], family: Family) -> tuple[Callable[[Array], Array], ...]:
    """(to GGUF, back): what is done to the tensor that transformers calls by this name."""
    kind = name.rsplit(".", 2)[-2]
    if family.interleaved_rope and kind in ("q_proj", "k_proj"):
        heads = int(config["num_attention_heads"])
        count = heads if kind == "q_proj" else int(config.get("num_key_value_heads") or heads)
        return (lambda weight: _turned(weight, count, 2), lambda weight: _turned(weight, count, -1))
    if family.norms_from_zero and kind.endswith("norm"):
        return (lambda weight: weight + 1, lambda weight: weight - 1)
    return (lambda weight: weight, lambda weight: weight)


def _turned(weight: Array, heads: int, halves: int) -> Array:
    """Rows of each head, from halves to neighbouring pairs (`halves` 2), or back (-1)."""
    rest = weight.shape[1:]
    rows = weight.reshape(heads, 2, -1, *rest) if halves == 2 else weight.reshape(heads, -1, 2, *rest)
    return rows.swapaxes(1, 2).reshape(weight.shape)
