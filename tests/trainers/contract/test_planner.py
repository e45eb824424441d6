"""The planner: weights counted as the model has them, what cannot fit refused with the sum, proposals that fit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from trainers.__main__ import main
from trainers.contract import BadRequest, DoesNotFit, ExitCode
from trainers.contract.model_shape import Shape
from trainers.contract.planner import GPUS, Setting, plan, plan_recipe, proposal
from trainers.contract.recipe.loading import load_model_recipes
from trainers.contract.recipe.training import LoraSettings

RECIPES = load_model_recipes()


@pytest.mark.parametrize(("name", "billions"), (("qwen2.5-7b", 7.615), ("qwen2.5-72b", 72.71)))
def test_weights_are_those_of_the_published_models(name, billions):
    assert Shape.of(RECIPES[name]).weights / 1e9 == pytest.approx(billions, rel=2e-3)


def test_weights_of_a_built_model():
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape = Shape(hidden=64, layers=3, heads=4, kv_heads=2, intermediate=96, vocabulary=500, tied=True)
    config = Qwen3Config(
        vocab_size=500,
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        intermediate_size=96,
        tie_word_embeddings=True,
    )
    norms = 64 * (2 * 3 + 1) + 16 * 2 * 3
    assert shape.weights + norms == Qwen3ForCausalLM(config).num_parameters()


@pytest.mark.parametrize(("name", "gpus"), (("qwen2.5-7b", 4), ("qwen2.5-72b", 8)))
def test_the_recipes_are_approved_on_the_gpus_they_ask_for(name, gpus):
    planned = plan_recipe(RECIPES[name], "h100", gpus)
    assert all(stage["fits"] and stage["memory_gib"] < 74.5 for stage in planned["stages"].values())
    assert max(getattr(RECIPES[name], stage).needs.gpus for stage in ("cpt", "sft", "rlhf")) == gpus


def test_72b_in_bfloat16_on_two_gpus_is_refused_with_the_sum_and_a_way_out():
    with pytest.raises(DoesNotFit) as refused:
        plan_recipe(RECIPES["qwen2.5-72b"], "h100", 2)
    assert "sft (lora rank 64" in str(refused.value)
    assert "weights and optimizer 71.1 +" in str(refused.value)
    assert "This fits: qlora" in str(refused.value)


@pytest.mark.parametrize("name", ("qwen2.5-7b", "qwen2.5-72b"))
@pytest.mark.parametrize("gpus", (1, 2, 4))
def test_what_is_proposed_fits_and_keeps_the_rows_of_a_step(name, gpus):
    shape, gpu = Shape.of(RECIPES[name]), GPUS["h100"]
    setting = Setting.of(RECIPES[name].cpt, gpus)
    proposed = proposal(shape, setting, gpu.memory)
    assert proposed is not None and proposed[1].total <= gpu.memory
    again, _ = proposed
    assert again.batch_size * again.accumulation == setting.batch_size * setting.accumulation
    assert plan(shape, again, gpu, 1e9).memory.fits


def test_adapters_proposed_instead_of_full_training_have_the_recipes_own_rank_or_its_default(monkeypatch):
    shape, full = Shape.of(RECIPES["qwen2.5-72b"]), Setting("full", 0, 2, 1, 4096, 1, pairs=False)
    monkeypatch.setattr("trainers.contract.planner.LoraSettings", lambda: LoraSettings(rank=24))
    ranks = [proposal(shape, replace(full, rank=rank), GPUS["h100"].memory)[0].rank for rank in (0, 8)]
    assert ranks == [24, 8]


def test_more_tokens_take_longer_and_more_gpus_shorter():
    shape, setting = Shape.of(RECIPES["qwen2.5-7b"]), Setting.of(RECIPES["qwen2.5-7b"].sft, 2)
    one = plan(shape, setting, GPUS["h100"], 1e9)
    assert plan(shape, setting, GPUS["h100"], 2e9).hours == pytest.approx(2 * one.hours)
    assert plan(shape, Setting.of(RECIPES["qwen2.5-7b"].sft, 4), GPUS["h100"], 1e9).hours == pytest.approx(
        one.hours / 2
    )


def test_the_command(capsys):
    assert main(["plan", "--recipe", "qwen2.5-7b", "--gpus", "4", "--json", "--price", "2"]) == 0
    planned = json.loads(capsys.readouterr().out)["stages"]["cpt"]
    assert planned["sharded"] and planned["dollars"] == pytest.approx(planned["hours"] * 4 * 2, rel=0.01)
    assert main(["plan", "--recipe", "qwen2.5-72b", "--gpus", "2"]) == ExitCode.DOES_NOT_FIT
    assert main(["plan", "--recipe", "llama"]) == ExitCode.BAD_REQUEST
    assert "there are: qwen2.5-72b, qwen2.5-7b, tiny" in capsys.readouterr().err
    packaged = Path("trainers/recipes/tiny.yaml")
    assert main(["plan", "--recipe", str(packaged)]) == 0


def test_a_recipe_without_a_shape_is_refused():
    recipe = RECIPES["qwen2.5-7b"]
    bare = recipe.model_copy(update={"base_model": recipe.base_model.model_copy(update={"shape": None})})
    with pytest.raises(BadRequest, match="key 'shape'"):
        Shape.of(bare)
