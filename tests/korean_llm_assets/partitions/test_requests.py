"""Requests are built in one place, from recipe, cell and artifacts."""

import sys

import pytest

from korean_llm_assets.partitions import requests
from korean_llm_assets.partitions.recipes import data_recipe, model_recipes
from korean_llm_assets.partitions.requests import as_input, made_from, recipe_digest, stage_request
from trainers.contract import STAGES, Artifact, BadRequest, Input, Stage
from trainers.contract.recipe import CorpusSection
from trainers.contract.recipe.loading import section_dict

ARTIFACT = Artifact(
    stage="cpt", model="tiny", release="r", request_digest="a", digest="d", path="cpt_checkpoint/tiny/r/a"
)


def test_a_request_carries_the_recipes_section_without_its_needs() -> None:
    request = stage_request(STAGES["sft"], "tiny", "r", [as_input(ARTIFACT)])
    recipe = model_recipes()["tiny"]
    assert request.section == section_dict(recipe.sft)
    assert request.needs == recipe.sft.needs
    assert request.seed == recipe.seed
    assert request.stage_version == STAGES["sft"].version


def test_inputs_are_named_by_the_asset_they_come_from() -> None:
    item = as_input(ARTIFACT)
    assert (item.name, item.digest, item.path, item.root) == ("cpt_checkpoint", "d", ARTIFACT.path, "artifacts")


def test_where_an_input_lies_does_not_change_the_request() -> None:
    moved = ARTIFACT.model_copy(update={"path": "elsewhere/a"})
    digests = {stage_request(STAGES["sft"], "tiny", "r", [as_input(item)]).digest for item in (ARTIFACT, moved)}
    assert len(digests) == 1


def test_a_changed_plugin_changes_the_request_and_what_the_recipe_says(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(tmp_path))
    section = CorpusSection(filter={"rules": ["own_rules:f"]})
    recipe = data_recipe().model_copy(update={"corpus": section})
    monkeypatch.setattr(requests, "data_recipe", lambda: recipe)
    digests = set()
    for text in ("def f(text): return True", "def f(text): return False"):
        (tmp_path / "own_rules.py").write_text(text)
        request = stage_request(STAGES["corpus"], None, "r", [])
        assert list(request.plugins) == ["own_rules:f"]
        digests |= {request.digest, recipe_digest(STAGES["corpus"], recipe)}
    assert len(digests) == 4 and "own_rules" not in sys.modules
    (tmp_path / "own_rules.py").unlink()
    with pytest.raises(BadRequest, match=r"filter\.rules names 'own_rules:f', but own_rules is not there"):
        stage_request(STAGES["corpus"], None, "r", [])


def test_without_plugins_a_request_is_what_it_was() -> None:
    request = stage_request(STAGES["sft"], "tiny", "r", [as_input(ARTIFACT)])
    assert request.plugins == {}
    assert request.model_copy(update={"plugins": {"m:f": "0"}}).digest != request.digest


@pytest.mark.parametrize("stage", [STAGES["corpus"], STAGES["sft"]], ids=lambda stage: stage.name)
def test_a_request_is_made_from_its_edges_and_by_what_the_recipe_says(stage: Stage) -> None:
    recipe = model_recipes()["tiny"] if stage.by_model else data_recipe()
    beside = Input(name="champion", digest="c", path="p")
    request = stage_request(stage, "tiny" if stage.by_model else None, "r", [as_input(ARTIFACT), beside])
    edges = {"cpt_checkpoint": "d"} if stage.by_model else {}
    assert made_from(request) == {**edges, "recipe": recipe_digest(stage, recipe)}
