"""A model small enough to be made in a test: two layers, random weights."""

from typing import Any

from transformers import Qwen3Config


def small_config(vocabulary: int, positions: int = 256, head_dim: int = 16, **own: Any) -> Qwen3Config:
    """Its shape."""
    return Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=head_dim,
        intermediate_size=64,
        max_position_embeddings=positions,
        **own,
    )
