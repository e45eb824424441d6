"""What the planner says that a training holds, part by part, against torch's own tracking of a step of that model."""

from dataclasses import replace

import pytest
from transformers import Gemma3TextConfig, LlamaConfig, Qwen2Config

from tests.support.fake_step import held_by_a_step
from trainers.contract.memory import Setting, disk, held_parts, host_memory
from trainers.contract.model_shape import Shape
from trainers.contract.recipe import CptSection

SMOLLM2 = LlamaConfig(
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    head_dim=64,
    tie_word_embeddings=True,
)
GEMMA3 = Gemma3TextConfig(
    vocab_size=262144,
    hidden_size=640,
    intermediate_size=2048,
    num_hidden_layers=18,
    num_attention_heads=4,
    num_key_value_heads=1,
    head_dim=256,
    tie_word_embeddings=True,
)
QWEN = Qwen2Config(
    vocab_size=152064,
    hidden_size=3584,
    intermediate_size=18944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
    tie_word_embeddings=False,
)
"""SmolLM2 135M, Gemma 3 270M and Qwen2.5 7B, as their makers' config.json says."""
LORA, FULL = {"lora": {"rank": 16}}, {"method": "full"}
FLOAT32 = {**LORA, "precision": "float32"}
EMBEDDINGS = {**LORA, "embedding_learning_rate": 1e-4}
WITHIN = 0.15


def with_layers(config, layers):
    kinds = getattr(config, "layer_types", None)
    changes = {"num_hidden_layers": layers, **({"layer_types": kinds[:layers]} if kinds else {})}
    return type(config)(**{**config.to_dict(), **changes})


@pytest.mark.parametrize(
    ("config", "layers", "method", "rows", "length"),
    (
        (SMOLLM2, 3, FULL, 2, 512),
        (QWEN, 2, FULL, 2, 2048),
        (QWEN, 3, LORA, 2, 2048),
        (QWEN, 2, FLOAT32, 2, 2048),
        *(
            pytest.param(*case, marks=pytest.mark.prove)
            for case in (
                (SMOLLM2, 30, LORA, 2, 512),
                (SMOLLM2, 30, FULL, 4, 1024),
                (GEMMA3, 18, LORA, 2, 512),
                (GEMMA3, 18, FULL, 2, 512),
                (GEMMA3, 18, EMBEDDINGS, 2, 1024),
                (QWEN, 28, EMBEDDINGS, 2, 4096),
            )
        ),
    ),
)
def test_each_part_is_what_torch_tracks_within_15_per_cent(config, layers, method, rows, length):
    section = CptSection(**method, learning_rate=1e-4, batch_size=rows, max_length=length, layout="rows")
    tracked = held_by_a_step(config := with_layers(config, layers), section)
    planned = held_parts(Shape.of_config(config.to_dict()), Setting.of(section, 1))
    at_work = tracked["Activation"] + tracked.get("Temp", 0)
    assert planned["weights"] == pytest.approx(tracked["Parameter"], rel=WITHIN)
    assert planned["gradients"] == pytest.approx(tracked["Gradient"], rel=WITHIN)
    assert planned["optimizer"] == pytest.approx(tracked["Optstate"], rel=WITHIN)
    assert planned["activations"] + planned["working"] == pytest.approx(at_work, rel=WITHIN)


SHAPE = Shape.of_config(QWEN.to_dict())
SETTING = Setting("lora", 16, 2, 1, 2048, 4)


def test_attention_takes_what_its_kernel_does_not_avoid():
    held = {
        kernel: held_parts(SHAPE, replace(SETTING, attention=kernel, packed=True))["attention"]
        for kernel in ("flash_attention_2", "sdpa", "eager")
    }
    assert held["flash_attention_2"] == 0 < held["sdpa"] < held["eager"]
    assert held_parts(SHAPE, replace(SETTING, packed=False))["attention"] == 0


def test_the_host_holds_one_copy_of_what_is_read_and_one_for_each_process_of_what_is_made_float32():
    weights = SHAPE.weights
    frozen, whole = (
        host_memory(SHAPE, replace(SETTING, method=method, rank=0), sharded=True) for method in ("lora", "full")
    )
    assert {*frozen} == {"set_up", "training", "publishing"}
    assert frozen["set_up"] - frozen["training"] == 2 * weights
    assert whole["set_up"] - whole["training"] == (4 * 4 - 8) * weights, "one saves the optimizer's state of all"
    assert whole["publishing"] - frozen["publishing"] == 4 * weights, "what was sharded is gathered in one process"
    paged = host_memory(SHAPE, replace(SETTING, optimizer="paged_adamw_8bit"), sharded=False)
    assert paged["training"] > host_memory(SHAPE, SETTING, sharded=False)["training"]


def test_the_best_checkpoint_lies_beside_the_newest_ones():
    last, best = (disk(SHAPE, replace(SETTING, keeps_best=keeps), sharded=False) for keeps in (False, True))
    assert best["checkpoints"] / last["checkpoints"] == pytest.approx(4 / 3)
    assert best["published"] == last["published"] > 2 * SHAPE.weights
