"""Cluster profiles: typed, pinned, and every mistake named with its file and key."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dagster import DagsterInvalidConfigError, validate_run_config

from korean_llm_assets.compute.cluster.kubeflow import render
from korean_llm_assets.compute.overrides import Overrides
from korean_llm_assets.compute.profiles import GpuPool, load_profile, profile_paths, quantity
from korean_llm_assets.definitions import defs
from trainers.contract import BadRequest, Needs, StageRequest
from trainers.contract.planner import GPUS, Gpu, recipe_gpu_hours
from trainers.contract.recipe.loading import load_model_recipes

_POOL = "{{type: {}, nodes: 1, cpu: 9, memory: 9Gi, per_node: 8}}"


def test_every_packaged_profile_loads():
    for name in profile_paths():
        assert load_profile(name).name == name


def test_an_unknown_profile_names_those_there_are():
    with pytest.raises(BadRequest, match="unknown cluster profile 'h200'; there are: cpu, h100, h100-op, "):
        load_profile("h200")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("extends: cpu\nimage: repo/trainer:latest\n", "never 'latest'"),
        ("extends: cpu\nimage: repo/trainer\n", "digest"),
        ("extends: cpu\nimages: x\n", "images: Extra inputs.*Allowed keys"),
        ("extends: nobody\n", "'extends' names 'nobody'"),
        ("extends: cpu\nworkload: pytorchjob\n", "no gpu_pool"),
        ("extends: h100-op\nworkload: pytorchjob\n", "needs launch: durable"),
        ("extends: h100\nworkload: trainjob\n", "neither env_secrets nor node_local_inputs"),
        ("extends: cpu\nvolumes: [{name: a, mount_path: /a}]\n", "exactly one of: claim, host_path"),
        ("- a\n- b\n", "cannot be read"),
        (f"extends: cpu\ngpu_pool: {_POOL.format('a10')}\n", "memory a a10 has is not known .*add gpu_memory"),
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


def test_a_gpu_is_what_its_type_says_unless_the_profile_says_more():
    assert load_profile("h100").gpu_pool.gpu == GPUS["h100"]
    pool = {"type": "a10", "nodes": 1, "cpu": 9, "memory": "9Gi", "per_node": 8, "gpu_memory": "24Gi"}
    unknown = GpuPool(**pool).gpu
    assert unknown == Gpu("a10", 24 * 2**30, None)
    with pytest.raises(BadRequest, match="how fast a a10 is nobody knows here .*add gpu_tflops"):
        recipe_gpu_hours(load_model_recipes()["tiny"], "sft", unknown)
    assert GpuPool(**pool, gpu_tflops=125).gpu.flops == 125e12


def test_quantities():
    assert quantity("80Gi") == 80 * 2**30
    assert quantity("500m") == 0.5
    with pytest.raises(ValueError, match="no Kubernetes quantity"):
        quantity("eighty")


def _step(tags: dict[str, str], config: dict[str, Any]) -> Any:
    return SimpleNamespace(run=SimpleNamespace(tags=tags), op_execution_context=SimpleNamespace(op_config=config))


def test_a_launch_changes_needs_and_profile_by_config_or_by_tags():
    tags = {"korean-llm/gpus": "4", "korean-llm/profile": "h100", "korean-llm/queue": "urgent", "dagster/run": "x"}
    overrides = Overrides.of(_step(tags, {"gpus": 8, "nodes": None}))
    assert overrides.apply_to_needs(Needs(gpus=1, cpu=4)) == Needs(gpus=8, cpu=4)
    assert overrides.apply_to_profile(load_profile(overrides.profile)).queue == "urgent"


@pytest.mark.parametrize("name", ["h100", "h100-pytorchjob", "h100-trainjob"])
def test_an_urgent_launch_is_urgent_where_it_waits(name: str):
    """In the queue by Kueue's label, whatever the workload is; where there is no queue, at the scheduler."""
    label, request = "kueue.x-k8s.io/priority-class", StageRequest(stage="cpt", stage_version=1, model="m", release="r")
    queued, needs, urgent = load_profile(name), Needs(gpus=8), Overrides(priority_class="urgent")
    body = render(request, needs, urgent.apply_to_profile(queued), "run")
    assert body["metadata"]["labels"][label] == "urgent"
    assert label not in render(request, needs, queued, "run")["metadata"]["labels"]
    assert urgent.apply_to_profile(queued).priority_class == queued.priority_class, "no PriorityClass has that name"
    unqueued = queued.model_copy(update={"queue": None})
    alone = render(request, Needs(), urgent.apply_to_profile(unqueued), "run")
    assert label not in alone["metadata"]["labels"]
    assert alone["spec"]["template"]["spec"]["priorityClassName"] == "urgent"


def test_a_launch_names_no_image_from_elsewhere():
    own = load_profile("h100")
    assert own.allowed_images == ("registry.example.com/korean-llm/",)
    mine = "registry.example.com/korean-llm/trainer:mine"
    assert Overrides(image=mine).apply_to_profile(own).image == mine
    with pytest.raises(BadRequest, match="'evil.example/x:1' is not from registry.example.com/korean-llm/"):
        Overrides(image="evil.example/x:1").apply_to_profile(own)


@pytest.mark.parametrize(("name", "value"), [("gpus", "many"), ("nodes", 0), ("gpu", "8")])
def test_a_wrong_override_is_an_error_that_names_it(name: str, value: object):
    with pytest.raises(BadRequest, match=f"are wrong: {name}: "):
        Overrides.of(_step({}, {name: value}))


@pytest.mark.parametrize(
    ("config", "message"),
    [({"gpus": "many"}, "gpus"), ({"gpu": 8}, 'unexpected config entry "gpu"'), ({"profile": "h200"}, "profile")],
)
def test_the_launch_form_is_checked_by_dagster_before_there_is_a_run(config: dict[str, Any], message: str):
    job = defs.resolve_job_def("data")
    with pytest.raises(DagsterInvalidConfigError, match=message):
        validate_run_config(job, {"ops": {"preferences": {"config": config}}})
    validate_run_config(job, {"ops": {"preferences": {"config": {"gpus": 8, "cpu": 1, "profile": "h100"}}}})
    validate_run_config(job)
