"""The planner: weights counted as the model has them, what cannot fit refused with the sum, proposals that fit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from trainers.__main__ import main
from trainers.contract import BadRequest, DoesNotFit, ExitCode
from trainers.contract.memory import Setting, training_memory
from trainers.contract.model_shape import Shape
from trainers.contract.planner import GPUS, plan, plan_recipe, proposal, training_sections
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


PLANNED = {"qwen2.5-7b": 4, "qwen2.5-72b": 8, "qwen3-8b": 4, "llama3.1-8b": 4, "gemma3-4b": 4, "exaone4-1.2b": 1}


@pytest.mark.parametrize(("name", "gpus"), PLANNED.items())
def test_the_recipes_are_approved_on_the_gpus_they_ask_for(name, gpus):
    planned = plan_recipe(RECIPES[name], "h100", gpus)
    assert all(stage["fits"] and stage["memory_gib"] < 74.5 for stage in planned["stages"].values())
    assert max(getattr(RECIPES[name], stage).needs.gpus for stage in ("cpt", "sft", "rlhf")) == gpus


@pytest.mark.parametrize(
    ("name", "billions"),
    [("qwen3-8b", 8.19), ("llama3.1-8b", 8.03), ("gemma3-4b", 3.88), ("exaone4-1.2b", 1.28), ("smollm2-135m", 0.1345)],
)
def test_a_recipes_shape_has_as_many_weights_as_its_maker_says(name, billions):
    """Gemma 3 4B: of the language model; its heads are 256 wide, which do not divide its hidden size."""
    assert Shape.of(RECIPES[name]).weights / 1e9 == pytest.approx(billions, rel=0.005)


def test_72b_in_bfloat16_on_two_gpus_is_refused_with_the_sum_and_a_way_out():
    with pytest.raises(DoesNotFit) as refused:
        plan_recipe(RECIPES["qwen2.5-72b"], "h100", 2)
    assert "sft (lora rank 64" in str(refused.value)
    assert "does not fit: weights 77.6 + gradients 6.5 + optimizer 13.0 + " in str(refused.value)
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


def test_embeddings_that_learn_beside_adapters_take_16_bytes_a_weight_and_what_is_replayed_takes_time():
    shape, setting = Shape.of(RECIPES["qwen2.5-7b"]), Setting.of(RECIPES["qwen2.5-7b"].sft, 1)
    assert setting.embeddings and setting.replay_rows == 2
    least = training_memory(shape, replace(setting, embeddings=False), 80e9)
    grown = {part: size - least.parts[part] for part, size in training_memory(shape, setting, 80e9).parts.items()}
    of_weights = sum(grown[part] for part in ("weights", "gradients", "optimizer"))
    assert of_weights == pytest.approx(2 * 152064 * 3584 * 16 * 1.05)
    hours = [plan(shape, each, GPUS["h100"], 1e9).hours for each in (setting, replace(setting, replay_rows=0))]
    assert hours[0] / hours[1] == pytest.approx(1 + 2 / (setting.batch_size * setting.accumulation))
    quantised = proposal(shape, setting, 20e9)
    assert quantised is not None and quantised[0].method == "qlora" and not quantised[0].embeddings


def test_experts_are_weights_but_only_the_active_ones_are_work():
    """Qwen3-30B-A3B, by its config.json: 30.5 billion weights, of which 3.3 billion are active."""
    config = {
        **{"hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4},
        **{"intermediate_size": 6144, "moe_intermediate_size": 768, "vocab_size": 151936, "head_dim": 128},
        **{"num_experts": 128, "num_experts_per_tok": 8},
    }
    shape = Shape.of_config(config)
    assert shape.weights / 1e9 == pytest.approx(30.5, rel=0.01)
    assert (shape.active_layer_weights + shape.embedding_weights) / 1e9 == pytest.approx(3.3, rel=0.02)
    assert shape.adapter_weights(16) == 48 * 16 * (2 * (2048 + 4096) + 2 * (2048 + 512))  # of attention only


@pytest.mark.parametrize("name", RECIPES)
def test_adapters_above_rank_64_are_rank_stabilised(name):
    """Kalajdzievski 2023."""
    for section in training_sections(RECIPES[name]).values():
        assert section.lora is None or section.lora.rank <= 64 or section.lora.rslora


@pytest.mark.parametrize("name", RECIPES)
def test_who_stops_early_publishes_the_best_weights_and_not_those_it_had_patience_with(name):
    for section in training_sections(RECIPES[name]).values():
        assert section.patience is None or section.keep == "best"


@pytest.mark.parametrize("name", ("qwen2.5-7b", "qwen2.5-72b"))
def test_the_guides_recipes_teach_a_language_and_an_end_of_turn_to_a_base(name):
    """Both take embeddings that learn: https://unsloth.ai/blog/contpretraining, QwenLM/Qwen3#1064."""
    for section in (RECIPES[name].cpt, RECIPES[name].sft):
        assert section.method == "full" or section.embedding_learning_rate is not None
    assert all(section.evaluation_steps for section in training_sections(RECIPES[name]).values())


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
    assert "qwen2.5-72b, qwen2.5-7b, qwen3-8b, smollm2-135m, tiny" in capsys.readouterr().err
    packaged = Path("trainers/recipes/tiny.yaml")
    assert main(["plan", "--recipe", str(packaged)]) == 0


def test_a_recipe_without_a_shape_is_refused():
    recipe = RECIPES["qwen2.5-7b"]
    bare = recipe.model_copy(update={"base_model": recipe.base_model.model_copy(update={"shape": None})})
    with pytest.raises(BadRequest, match="key 'shape'"):
        Shape.of(bare)
