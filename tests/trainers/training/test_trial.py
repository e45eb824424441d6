"""`try`: a few steps of the real stage, in processes of their own, leave figures and nothing else."""

import json

import pytest
import yaml

from tests.support.micro import COMMON, SECTIONS, Micro
from trainers.__main__ import main
from trainers.contract import ExitCode

pytestmark = pytest.mark.slow
LORA = {"rank": 4, "alpha": 8}
STAGES = ("cpt", "sft", "rlhf")


@pytest.fixture(scope="module")
def micro(tmp_path_factory) -> Micro:
    micro = Micro(tmp_path_factory.mktemp("trial"))
    micro.here("base_model")
    return micro


def command(micro, *more, **changes) -> list[str]:
    page = {
        "model": "micro",
        "base_model": SECTIONS["base_model"],
        **{stage: {**COMMON, "lora": LORA, **changes.get(stage, {})} for stage in STAGES},
    }
    recipe = micro.root / "micro.yaml"
    recipe.write_text(yaml.safe_dump(page))
    return ["try", "--recipe", str(recipe), "--release", "r1", "--artifacts", str(micro.store.root), *more]


def everything(micro):
    return sorted(path for path in micro.store.root.rglob("*") if "base_model" not in path.parts)


@pytest.mark.parametrize("stages", (("sft",), pytest.param(STAGES, marks=pytest.mark.prove)))
def test_figures_of_the_real_stage_and_nothing_is_left(micro, capfd, stages):
    before = everything(micro)
    of = ("--of", *stages) if len(stages) == 1 else ()
    assert main(command(micro, "--steps", "2", "--gpu", "h100", "--json", *of, sft={"epochs": 2})) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    trials = {name: trial for line in lines for name, trial in line.items()}
    assert (*trials,) == stages
    trial = trials["sft"]
    assert trial["steps"] == len(trial["loss"]) == 2
    assert 2 < trial["all_steps"] <= 2 * 18  # two epochs of 72 conversations, packed, in steps of 4 rows
    if "rlhf" in trials:
        assert trials["rlhf"]["all_steps"] == 14, "56 pairs, in steps of 4: not only those that the trial reads"
    assert trial["hours"] * 3600 >= trial["all_steps"] * trial["step_seconds"]
    assert {*trial["host_gib"]} == {"set_up", "training", "publishing"} and min(trial["host_gib"].values()) > 0.2
    assert trial["planned_gib"] > 3 and trial["gpu_gib"] is None
    assert trial["setting"].endswith("float32"), "no GPU is asked for"
    assert everything(micro) == before


def test_on_fewer_gpus_the_training_is_the_one_that_the_recipe_asks_for(micro, capfd):
    """Four GPUs' rows to a step, in four micro-batches of this machine's one process, computed as they would be."""
    needs = {"needs": {"gpus": 4}, "batch_size": 2}
    assert main(command(micro, "--steps", "2", "--gpu", "h100", "--json", "--of", "sft", sft=needs)) == 0
    printed = capfd.readouterr()
    assert "the recipe asks for 4 GPUs, this machine has 0" in printed.err and "backend: transformers" in printed.err
    trial = json.loads(next(line for line in printed.out.splitlines() if line.startswith("{")))["sft"]
    assert trial["setting"] == "lora rank 4, batch_size 2 x accumulation 4, max_length 64", "in bfloat16"
    assert trial["processes"] == 1 and 2 < trial["all_steps"] <= 9, "72 conversations, packed, in steps of 8 rows"


def test_what_is_for_one_gpu_is_not_tried_as_something_else_without(micro, capfd):
    assert main(command(micro, "--of", "sft", sft={"needs": {"gpus": 1}})) == ExitCode.BAD_REQUEST
    assert "backend: unsloth needs a GPU and there is none here" in capfd.readouterr().err


def test_a_stage_that_fails_ends_with_its_own_code(micro, capfd):
    failing = command(micro, "--of", "cpt", cpt={"max_length": 4096})
    assert main(failing) == ExitCode.BAD_REQUEST
    printed = capfd.readouterr().err
    assert "max_length 4096 is above the 128 positions" in printed and "try: cpt ended with exit 64" in printed


def test_what_is_not_made_yet_is_told(micro, capfd):
    assert main([*command(micro)[:3], "--release", "r2", "--artifacts", str(micro.store.root)]) == ExitCode.BAD_REQUEST
    printed = capfd.readouterr().err
    assert "cpt: corpus is not made yet" in printed and "micro could be trained on in release 'r2'" in printed
