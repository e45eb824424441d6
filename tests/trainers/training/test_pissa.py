"""PiSSA: the model begins as its base, and what is published is an adapter of the base as it was."""

import json

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, LlamaConfig

from trainers.contract.recipe import RlhfSection, SftSection
from trainers.training.backends.transformers import TransformersBackend
from trainers.training.result import _publish_adapter

IDS = torch.arange(2, 12)[None]
SHAPE = {
    **{"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0},
}


def logits(model):
    with torch.no_grad():
        return model.eval()(IDS).logits


@pytest.fixture
def base(tmp_path):
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE, initializer_range=0.2)).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def loaded(folder, **lora):
    section = SftSection(learning_rate=0.1, lora={"rank": 4, "alpha": 8, **lora})
    return TransformersBackend().load(folder, section, seed=1, tokens=(5,))


def taught(model):
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=0.1)
    for _ in range(5):
        model(IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


@pytest.mark.parametrize("rslora", (False, True))
def test_it_begins_as_the_base_learns_and_is_published_for_the_base(base, tmp_path, rslora):
    plain = AutoModelForCausalLM.from_pretrained(base)
    model = loaded(base, initial="pissa", rslora=rslora)
    torch.testing.assert_close(logits(model), logits(plain), atol=1e-4, rtol=1e-4)
    moved = (
        model.base_model.model.model.layers[0].mlp.up_proj.base_layer.weight - plain.model.layers[0].mlp.up_proj.weight
    )
    assert float(moved.abs().max()) > 0.1, "its strongest directions are the adapter's"
    taught(model)
    _publish_adapter(model, "digest", tmp_path / "adapter")
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert settings["r"] == 8 and settings["init_lora_weights"] is True
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter")
    torch.testing.assert_close(logits(again), logits(model), atol=1e-3, rtol=1e-3)
    assert float((logits(model) - logits(plain)).abs().max()) > 0.1


def test_what_it_learns_is_more_than_what_adapters_at_zero_learn(base):
    losses = [float(taught(loaded(base, initial=one))(IDS, labels=IDS).loss) for one in ("pissa", "zero")]
    assert losses[0] < losses[1]


@pytest.mark.slow
def test_a_stage_that_was_interrupted_publishes_an_adapter_of_the_base_as_it_was(micro, crash_after):
    keys = {"lora": {"rank": 4, "alpha": 8, "initial": "pissa"}, "max_steps": 4, "checkpoint_steps": 1}
    straight = micro.here("sft", **keys)
    assert straight.details.merge["max_logit_difference"] < 1e-3
    folder, parent = micro.folder("sft_model"), micro.folder("cpt_checkpoint")
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(parent / "model"), folder / "adapter")
    published = AutoModelForCausalLM.from_pretrained(folder / "model")
    torch.testing.assert_close(logits(adapted), logits(published), atol=1e-3, rtol=1e-3)
    keys["failure_hours"] = 23
    with crash_after(3):
        micro.here("sft", **keys)
    again = micro.here("sft", **keys)
    assert again.attempts[-1].resumed_from_step == 2
    assert {file.path: file.sha256 for file in again.files} == {file.path: file.sha256 for file in straight.files}


@pytest.mark.parametrize(
    ("keys", "words"),
    (
        ({"method": "qlora"}, "does not go with method: qlora"),
        ({"shard_weights": True}, "does not go with shard_weights"),
        ({"backend": "unsloth"}, "does not go with backend: unsloth"),
        ({"lora": {"initial": "pissa", "dora": True}}, r"does not go with lora\.dora"),
    ),
)
def test_where_the_base_is_loaded_anew_it_is_refused(keys, words):
    with pytest.raises(ValueError, match=words):
        SftSection(**{"learning_rate": 0.1, "lora": {"initial": "pissa"}, **keys})


@pytest.mark.parametrize(("algorithm", "is_refused"), (("dpo", True), ("kto", True), ("orpo", False)))
def test_where_the_base_is_the_reference_it_is_refused(algorithm, is_refused):
    section = {"learning_rate": 0.1, "algorithm": algorithm, "lora": {"initial": "pissa"}}
    if not is_refused:
        assert RlhfSection(**section).lora.initial == "pissa"
        return
    with pytest.raises(ValueError, match="compares with the base without adapters"):
        RlhfSection(**section)
