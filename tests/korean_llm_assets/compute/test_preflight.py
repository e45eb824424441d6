"""Preflight: what cannot fit is refused with the arithmetic."""

import pytest

from korean_llm_assets.compute.preflight import check_fit
from korean_llm_assets.compute.profiles import load_profile
from trainers.contract import STAGES, DoesNotFit, Needs, StageRequest
from trainers.contract.memory import Setting, training_memory
from trainers.contract.model_shape import Shape
from trainers.contract.planner import GPUS, plan, recipe_gpu_hours
from trainers.contract.recipe import LoraSettings, TrainingSection
from trainers.contract.recipe.loading import load_model_recipes, section_dict

RECIPES = load_model_recipes()
PACKAGED = ("qwen2.5-7b", "qwen2.5-72b")


def _request(stage: str = "sft", **section: object) -> StageRequest:
    return StageRequest(stage=stage, stage_version=1, model="m", release="r", section=section)


def _changed(model: str, stage: str, method: str) -> TrainingSection:
    """What a recipe says of a stage, trained by another method."""
    section = getattr(RECIPES[model], stage)
    changes = {"method": method, "lora": None if method == "full" else section.lora or LoraSettings()}
    changes |= {"embedding_learning_rate": None} if method == "qlora" else {}
    return type(section).model_validate({**dict(section), **changes})


@pytest.mark.parametrize("gpus", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("stage", [name for name, stage in STAGES.items() if stage.trains])
@pytest.mark.parametrize("model", PACKAGED)
def test_preflight_and_the_planner_give_one_answer(model: str, stage: str, method: str, gpus: int):
    profile, shape = load_profile("h100"), Shape.of(RECIPES[model])
    section = _changed(model, stage, method)
    needs = Needs(gpus=gpus, nodes=-(-gpus // 8), cpu=16, memory="200Gi")
    request = StageRequest(stage=stage, stage_version=1, model=model, release="r", section=section_dict(section))
    planned = plan(shape, Setting.of(section, gpus), GPUS["h100"], 1e9)
    recipe = RECIPES[model].model_copy(update={stage: section.model_copy(update={"needs": needs})})
    if planned.memory.fits:
        check_fit(request, needs, profile, shape)
        assert recipe_gpu_hours(recipe, stage, profile.gpu_pool.gpu) == pytest.approx(planned.hours * gpus)
        return
    for check in (
        lambda: check_fit(request, needs, profile, shape),
        lambda: recipe_gpu_hours(recipe, stage, profile.gpu_pool.gpu),
    ):
        with pytest.raises(DoesNotFit) as refusal:
            check()
        assert planned.memory.arithmetic in str(refusal.value)


def test_the_answers_differ_and_none_is_always_given():
    """The ninety cases above hold both answers, in each stage and method that can have both."""
    gpu = load_profile("h100").gpu_pool.gpu
    fits = {
        training_memory(Shape.of(RECIPES[model]), Setting.of(_changed(model, stage, method), gpus), gpu.memory).fits
        for model in PACKAGED
        for stage in ("cpt", "sft", "rlhf")
        for method in ("full", "lora", "qlora")
        for gpus in (1, 16)
    }
    assert fits == {True, False}


def test_what_does_not_fit_is_refused_with_the_sum_and_a_way_out():
    section = section_dict(_changed("qwen2.5-72b", "sft", "lora"))
    with pytest.raises(DoesNotFit) as caught:
        needs, shape = Needs(gpus=2, cpu=16, memory="100Gi"), Shape.of(RECIPES["qwen2.5-72b"])
        check_fit(_request(**section), needs, load_profile("h100"), shape)
    message = str(caught.value)
    assert "sft (lora rank 64" in message and "GiB of 74.5 GiB. This fits: " in message
    assert "Nothing was launched" in message


def test_a_model_that_is_only_read_has_to_be_held():
    shape, profile = Shape.of(RECIPES["qwen2.5-72b"]), load_profile("h100")
    with pytest.raises(DoesNotFit, match="evaluate on 1 x h100 does not fit: weights 142.2 "):
        check_fit(_request("evaluate"), Needs(gpus=1, cpu=16), profile, shape)
    check_fit(_request("evaluate"), Needs(gpus=4, cpu=16), profile, shape)


def test_only_training_is_spread_over_machines():
    with pytest.raises(DoesNotFit, match="2 nodes, but a stage like evaluate uses one"):
        check_fit(_request("evaluate"), Needs(gpus=16, nodes=2), load_profile("h100"))


@pytest.mark.parametrize(
    ("profile", "needs", "words"),
    [
        ("h100", Needs(gpus=9), r"9 GPUs / 1 node\(s\) = 9 per node, a h100 node has 8; at least 2 nodes"),
        ("h100", Needs(gpus=3, nodes=2), "3 GPUs cannot be divided over 2 nodes"),
        ("h100", Needs(gpus=40, nodes=5), "asks for 5 nodes, the pool has 4"),
        ("h100", Needs(nodes=2), "2 nodes but no GPU"),
        ("h100", Needs(cpu=64), "64 cores per node, a node has 60"),
        ("cpu", Needs(gpus=1), "asks for 1 GPUs, the profile has none"),
        ("cpu", Needs(memory="640Gi"), "640Gi of memory per node, a node has 480Gi"),
    ],
)
def test_needs_that_no_node_meets(profile: str, needs: Needs, words: str):
    with pytest.raises(DoesNotFit, match=words):
        check_fit(_request(), needs, load_profile(profile))
