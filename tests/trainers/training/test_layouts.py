"""Layouts: a family whose attention sees through bounds in packed rows is refused there, and trained in single ones."""

from typing import Any

import pytest

from tests.support.micro import Micro
from trainers.contract import BadRequest

pytestmark = pytest.mark.slow


def gpt_oss(folder: Any) -> None:
    """In place of the model: a family that leaves positions out of its masks (transformers' gpt-oss)."""
    from transformers import AutoConfig, GptOssConfig, GptOssForCausalLM

    replaced = AutoConfig.from_pretrained(folder / "model")
    config = GptOssConfig(
        vocab_size=replaced.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=32,
        num_local_experts=2,
        num_experts_per_tok=1,
        layer_types=["full_attention", "full_attention"],
        max_position_embeddings=128,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        eos_token_id=replaced.eos_token_id,
        bos_token_id=replaced.bos_token_id,
        pad_token_id=replaced.pad_token_id,
    )
    GptOssForCausalLM(config).save_pretrained(folder / "model")


@pytest.fixture(scope="module")
def unpackable(tmp_path_factory) -> Micro:
    micro = Micro(tmp_path_factory.mktemp("layouts"))
    micro.sections = {name: {**section, "attention": "eager"} for name, section in micro.sections.items()}
    micro.sections["base_model"].pop("attention")
    micro.here("base_model")
    micro.change("base_model", gpt_oss)
    micro.made["cpt_checkpoint"] = micro.made["base_model"].model_copy(update={"name": "cpt_checkpoint"})
    return micro


@pytest.mark.parametrize("stage", ("cpt", "sft"))
def test_packed_rows_are_refused_where_documents_see_each_other_with_the_layout_that_helps(unpackable, stage):
    with pytest.raises(BadRequest, match=r"see each other: .*cpt\.layout: rows, sft\.layout: buckets"):
        unpackable.here(stage, max_steps=1)


def test_an_attention_that_the_family_has_not_is_refused_with_the_one_that_it_has(unpackable):
    with pytest.raises(BadRequest, match=r"attention: sdpa is none of this family's; say attention: eager"):
        unpackable.here("cpt", attention="sdpa", max_steps=1)


@pytest.mark.parametrize(("stage", "layout"), (("cpt", "rows"), ("sft", "buckets")))
def test_documents_in_rows_of_their_own_train_where_packed_ones_cannot(unpackable, stage, layout):
    made = dict(unpackable.made)
    details = unpackable.here(stage, layout=layout, max_steps=8, learning_rate=0.02).details
    unpackable.made = made
    assert "leakage" not in details.packing and details.packing["lost_tokens"] == 0
    assert min(loss for _, loss in details.loss) < details.loss[0][1] - 0.2
    assert details.packing["fill"] > 0.8  # of batches: rows of like length come together
