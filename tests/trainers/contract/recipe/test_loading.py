"""Recipes: what is wrong is told by file, key and what is allowed."""

from typing import Literal, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from trainers.contract import STAGES, BadRequest
from trainers.contract.plain_yaml import read_yaml
from trainers.contract.recipe.evaluation import ExportSection, JudgeSettings
from trainers.contract.recipe.loading import (
    data_page,
    load_data_recipe,
    load_model_recipe,
    load_model_recipes,
    model_page,
    recipe_folders,
    section_dict,
)


def choices(kind):
    """Every word that a Literal below this type allows."""
    if get_origin(kind) is Literal:
        return [word for word in get_args(kind) if isinstance(word, str)]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [word for field in kind.model_fields.values() for word in choices(field.annotation)]
    return [word for inner in get_args(kind) for word in choices(inner)]


@pytest.fixture
def write(tmp_path):
    """Write a changed copy of the tiny recipe and give its path."""

    def _write(change):
        data = yaml.safe_load((recipe_folders()[0] / "tiny.yaml").read_text())
        change(data)
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(data))
        return path

    return _write


def test_a_judge_may_compare_with_every_model_before_the_exported_one_and_with_the_champion():
    """The recipes' types stand below the table of stages, so the columns are written out there."""
    (literal, _) = get_args(JudgeSettings.model_fields["against"].annotation)
    before = [model.column for model in STAGES["export"].parent.lineage if model.column][:-1]
    assert [*get_args(literal)] == [*before, "champion"]


def test_packaged_recipes_load():
    assert "tiny" in load_model_recipes()
    assert load_data_recipe().corpus.validation_share > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["sft"].update(learning_rte=1), ["tiny.yaml", "unknown key 'sft.learning_rte'", "learning_rate"]),
        (lambda d: d.update(pretrain={}), ["unknown key 'pretrain'", "cpt, sft, rlhf"]),
        (lambda d: d["cpt"].update(epochs="many"), ["'cpt.epochs'", "valid number", "given: 'many'"]),
        (lambda d: d["cpt"].update(lora={"rank": 4}), ["'cpt'", "method: full", "would be ignored"]),
        (lambda d: d["rlhf"].update(algorithm="ppo"), ["'rlhf.algorithm'", "'dpo'", "given: 'ppo'"]),
        (lambda d: d["sft"].pop("learning_rate"), ["'sft.learning_rate' is required"]),
        (lambda d: d["sft"]["needs"].update(gpu=1), ["unknown key 'sft.needs.gpu'", "gpus, cpu, memory, nodes"]),
        (lambda d: d["base_model"]["architecture"].update(heads=5), ["hidden_size 192 must be a multiple of heads 5"]),
        (lambda d: d["cpt"].update(start_from="previous_release"), ["'cpt'", "needs the key 'replay_share'"]),
        (lambda d: d.update(model="other"), ["key 'model' says 'other'", "'tiny'"]),
        (lambda d: d.update(owner=12), ["'owner'", "given: 12", "put it in quotes"]),
        (lambda d: d["rlhf"].update(algorithm="kto", batch_size=1), ["'rlhf'", "batch_size must be 2 or more"]),
    ],
)
def test_errors_name_file_key_and_what_is_allowed(write, change, words):
    with pytest.raises(BadRequest) as caught:
        load_model_recipe(write(change))
    for word in words:
        assert word in str(caught.value)


WORDS = [name for page in (model_page(), data_page()) for name in choices(page)]


def test_a_word_that_a_key_takes_is_read_as_it_stands(tmp_path):
    """`automation: off` is false to PyYAML, and so would others be."""
    assert "off" in WORDS and len(WORDS) > 20
    assert read_yaml("\n".join(f"{number}: {word}" for number, word in enumerate(WORDS))) == dict(enumerate(WORDS))
    path = tmp_path / "tiny.yaml"
    text = (recipe_folders()[0] / "tiny.yaml").read_text()
    path.write_text(text.replace("automation: auto", "automation: off"))
    assert load_model_recipe(path).automation == "off"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2026-11-30", "2026-11-30"),
        ("010", "010"),
        ("1e-4", 1e-4),
        ("0x10", 16),
        ("-3", -3),
        ("true", True),
        ("~", None),
        ("", None),
        (".inf", float("inf")),
        ("{<<: {a: 1}, b: 2}", {"a": 1, "b": 2}),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text, value):
    assert read_yaml(text) == value and type(read_yaml(text)) is type(value)


def test_yaml_that_is_no_recipe(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("a: [1,")
    with pytest.raises(BadRequest, match="broken.yaml: cannot be read as YAML"):
        load_model_recipe(path)
    path.write_text("- 1\n")
    with pytest.raises(BadRequest, match="a recipe is a mapping"):
        load_model_recipe(path)


def test_own_folder_adds_and_replaces(tmp_path, monkeypatch, write):
    write(lambda d: d.update(description="mine"))
    monkeypatch.setenv("KOREAN_LLM_RECIPES", str(tmp_path))
    assert load_model_recipes()["tiny"].description == "mine"
    monkeypatch.setenv("KOREAN_LLM_RECIPES", str(tmp_path / "absent"))
    with pytest.raises(BadRequest, match="KOREAN_LLM_RECIPES is '.*absent'; it must be a folder that exists"):
        load_model_recipes()


def test_needs_and_written_out_defaults_leave_the_identity_alone(write):
    plain = load_model_recipe(write(lambda d: None)).sft
    bumped = load_model_recipe(write(lambda d: d["sft"]["needs"].update(memory="64Gi"))).sft
    spelled = load_model_recipe(write(lambda d: d["sft"].update(weight_decay=0.0))).sft
    assert section_dict(plain) == section_dict(bumped) == section_dict(spelled)


def test_gpus_change_what_is_trained_and_so_the_identity(write):
    """What computes follows from them: two machines may not make two models under one name."""

    def requested(**needs):
        adapters = {"method": "lora", "lora": {}, "needs": needs}
        return section_dict(load_model_recipe(write(lambda d: d["sft"].update(adapters))).sft)

    assert "backend" not in requested() and "precision" not in requested()
    assert requested(gpus=1) == {**requested(), "backend": "unsloth", "precision": "bfloat16"}
    assert requested(gpus=2)["backend"] == "transformers"
    assert requested(gpus=1, memory="64Gi", nodes=1) == requested(gpus=1)


def test_a_share_is_of_the_platform_and_of_no_digest(write):
    more = load_model_recipe(write(lambda data: data.update(share=3)))
    assert more.share == 3 and more.model_dump() == load_model_recipes()["tiny"].model_dump()
    with pytest.raises(BadRequest, match="key 'share': Input should be greater than 0"):
        load_model_recipe(write(lambda data: data.update(share=0)))


@pytest.mark.parametrize("name", ["../champion", "a/b", "a:b", "a' OR name != '", ".hidden", "", "x" * 300, "a\nb"])
def test_a_registered_name_is_a_name(name: str):
    with pytest.raises(ValidationError, match="registered_name"):
        ExportSection(registered_name=name)
    assert ExportSection(registered_name="한국어 모델-8b.v2").registered_name == "한국어 모델-8b.v2"
