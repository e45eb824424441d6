"""Cluster profiles: typed, pinned, and every mistake named with its file and key."""

from pathlib import Path

import pytest

from korean_llm_assets.compute.overrides import Overrides
from korean_llm_assets.compute.profiles import load_profile, profile_paths, quantity
from trainers.contract import BadRequest, Needs


def test_every_packaged_profile_loads():
    for name in profile_paths():
        assert load_profile(name).name == name


def test_an_unknown_profile_names_those_there_are():
    with pytest.raises(BadRequest, match="unknown cluster profile 'h200'; there are: h100, h100-op, .*kind"):
        load_profile("h200")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("extends: kind\nimage: repo/trainer:latest\n", "never 'latest'"),
        ("extends: kind\nimage: repo/trainer\n", "digest"),
        ("extends: kind\nimages: x\n", "images: Extra inputs.*Allowed keys"),
        ("extends: nobody\n", "'extends' names 'nobody'"),
        ("extends: kind\nworkload: pytorchjob\n", "no gpu_pool"),
        ("extends: h100-op\nworkload: pytorchjob\n", "needs launch: durable"),
        ("extends: h100\nworkload: trainjob\n", "neither env_secrets nor node_local_inputs"),
        ("extends: kind\nvolumes: [{name: a, mount_path: /a}]\n", "exactly one of: claim, host_path"),
        ("- a\n- b\n", "cannot be read"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str):
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.setenv("KOREAN_LLM_PROFILES", str(tmp_path))
    with pytest.raises(BadRequest, match=f"(?s)mine.yaml.*{words}"):
        load_profile("mine")


def test_the_image_of_a_release_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KOREAN_LLM_TRAINER_IMAGE", "registry/trainer:abc123")
    assert load_profile("h100").image == "registry/trainer:abc123"


def test_quantities():
    assert quantity("80Gi") == 80 * 2**30
    assert quantity("500m") == 0.5
    with pytest.raises(ValueError, match="no Kubernetes quantity"):
        quantity("eighty")


def test_tags_of_a_launch_change_needs_and_profile():
    tags = {"korean-llm/gpus": "8", "korean-llm/profile": "h100", "korean-llm/queue": "urgent", "dagster/run": "x"}
    overrides = Overrides(profile="kind").with_tags(tags)
    assert overrides.apply_to_needs(Needs(gpus=1, cpu=4)) == Needs(gpus=8, cpu=4)
    assert overrides.apply_to_profile(load_profile(overrides.profile)).queue == "urgent"


@pytest.mark.parametrize("tag", [("gpus", "many"), ("nodes", "0"), ("gpu", "8")])
def test_a_wrong_tag_is_an_error_that_names_it(tag: tuple[str, str]):
    with pytest.raises(BadRequest, match=f"korean-llm/{tag[0]}"):
        Overrides(profile="kind").with_tags({f"korean-llm/{tag[0]}": tag[1]})
