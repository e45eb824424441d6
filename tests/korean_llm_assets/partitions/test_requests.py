"""Requests are built in one place, from recipe, cell and artifacts."""

import sys

import pytest

from korean_llm_assets.partitions import requests
from korean_llm_assets.partitions.recipes import model_recipes
from korean_llm_assets.partitions.requests import as_input, code_version, stage_request
from trainers.contract import STAGES, Artifact, BadRequest
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


def test_a_changed_plugin_changes_the_request_and_the_code_version(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(tmp_path))
    section = CorpusSection(filter={"rules": ["own_rules:f"]})
    monkeypatch.setattr(requests, "section_and_seed", lambda stage, model: (section, 42))
    digests = set()
    for text in ("def f(text): return True", "def f(text): return False"):
        (tmp_path / "own_rules.py").write_text(text)
        request = stage_request(STAGES["corpus"], None, "r", [])
        assert list(request.plugins) == ["own_rules:f"]
        digests |= {request.digest, code_version(STAGES["benchmarks"])}
    assert len(digests) == 4 and "own_rules" not in sys.modules
    (tmp_path / "own_rules.py").unlink()
    with pytest.raises(BadRequest, match=r"filter\.rules names 'own_rules:f', but own_rules is not there"):
        stage_request(STAGES["corpus"], None, "r", [])


def test_without_plugins_a_request_is_what_it_was() -> None:
    request = stage_request(STAGES["sft"], "tiny", "r", [as_input(ARTIFACT)])
    assert request.plugins == {}
    assert request.model_copy(update={"plugins": {"m:f": "0"}}).digest != request.digest


def test_the_code_version_begins_with_the_stages_version() -> None:
    assert all(code_version(stage).startswith(f"{stage.version}-") for stage in STAGES.values())
