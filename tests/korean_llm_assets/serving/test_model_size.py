"""A model's size from its folder: of every family's way to name it, and an error where it is not named."""

import json

import pytest

from korean_llm_assets.serving.model_size import ModelSize
from tests.support.toy import build_model
from trainers.contract import BadData


def test_it_is_what_the_folder_holds(tmp_path):
    size = ModelSize.of(build_model(tmp_path / "toy", seed=1))
    assert size.weights == (tmp_path / "toy" / "model.safetensors").stat().st_size
    assert (size.dtype, size.positions, size.heads) == ("float32", 256, 2)
    assert size.cache_of_token == 2 * 2 * 1 * 16 * 4, "keys and values x layers x heads of keys x width x bytes"


@pytest.mark.parametrize(
    ("config", "cache"),
    [
        ({"n_head": 12, "n_embd": 768, "n_positions": 1024, "n_layer": 12, "torch_dtype": "float16"}, 36_864),
        (
            {
                "dtype": "bfloat16",
                "text_config": {
                    **{"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256},
                    **{"num_hidden_layers": 34, "max_position_embeddings": 131_072, "hidden_size": 2560},
                },
            },
            139_264,
        ),
    ],
    ids=["gpt2", "gemma3"],
)
def test_other_families_names_are_read(tmp_path, config, cache):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert ModelSize.of(tmp_path).cache_of_token == cache


@pytest.mark.parametrize(("text", "words"), [(None, "FileNotFound"), ("{", "JSONDecode"), ("{}", "n_head")])
def test_a_folder_that_does_not_say_is_named(tmp_path, text, words):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadData, match=f"config.json does not say how large its model is.*{words}"):
        ModelSize.of(tmp_path)
