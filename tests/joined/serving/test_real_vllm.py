"""Real vLLM, of the pinned version, on CPU, started as a cluster starts it: it says what transformers says."""

import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.version import Version
from transformers import AutoModelForCausalLM, AutoTokenizer, __version__

from korean_llm_assets.compute.profiles import load_profile
from korean_llm_assets.http import post_json
from korean_llm_assets.serving.local_server import Server
from korean_llm_assets.serving.model_size import ModelSize
from korean_llm_assets.serving.smoke import smoke_test
from korean_llm_assets.serving.vllm_manifests import ServedModel, ServingSettings, deployment, scaled_object
from tests.joined.commands.test_serve import exported, heard_of
from tests.joined.serving.test_real_rollout import World
from tests.support.local_platform import LocalPlatform
from tests.support.real_models import real_folder
from tests.support.toy import build_model, sentences, teach
from tests.support.vllm_environment import metadata_of_vllm, vllm_python

pytestmark = [pytest.mark.prove, pytest.mark.timeout(3600)]
ROOT = Path(__file__).parents[3]
READY_SECONDS = 1500
HEAD = 64
"""Wide enough for vLLM's attention on a CPU, which takes no heads of 16."""
PROMPTS = [
    *sentences(14, seed=11),
    "대한민국의 수도는?",
    "'크다'의 반대말은?",
    "안녕하세요.",
    "김치찌개는?",
    "봄은?",
    "1+1은?",
]


def as_on_a_cluster(folder: Path, port: int) -> list[str]:
    """The container's own command line, on this machine's port, CPU and store."""
    profile = load_profile("h100").model_copy(update={"artifacts_path": str(folder.parent.parent)})
    served = ServedModel(folder.parent.name, ModelSize.of(folder))
    made = deployment("toy", "1", served, ServingSettings(), profile)
    arguments = list(made["spec"]["template"]["spec"]["containers"][0]["args"])
    arguments[arguments.index("--port") + 1] = str(port)
    return [str(vllm_python()), "-m", "vllm.entrypoints.openai.api_server", *arguments, "--host", "127.0.0.1"]


@pytest.fixture(scope="module", autouse=True)
def small_cache() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        yield


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    return teach(build_model(tmp_path_factory.mktemp("store") / "toy" / "model", seed=1, head_dim=HEAD))


@pytest.fixture(scope="module")
def server(taught, tmp_path_factory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "vllm.log"
    started = Server.start(taught, log, ready_seconds=READY_SECONDS, command=as_on_a_cluster)
    yield started
    started.stop()


def token_ids(url: str, model: str, prompt: str) -> tuple[list[int], list[int]]:
    """(of the prompt, of the reply) by vLLM."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 24, "temperature": 0}
    answer = post_json("vLLM", f"{url}/v1/chat/completions", body | {"return_token_ids": True}, 300)
    return answer["prompt_token_ids"], answer["choices"][0]["token_ids"]


def assert_same_tokens(folder: Path, url: str) -> None:
    """Of every prompt, and of transformers' greedy replies to them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert len(PROMPTS) == 20
    for prompt in PROMPTS:
        talk = [{"role": "user", "content": prompt}]
        fed = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        whole = model.generate(**fed, max_new_tokens=24, do_sample=False)[0].tolist()
        size = fed["input_ids"].shape[1]
        assert token_ids(url, "toy", prompt) == (whole[:size], whole[size:]), prompt


def test_the_pinned_vllm_takes_the_transformers_that_we_write_with():
    (wanted,) = (one for text in metadata_of_vllm().requires if (one := Requirement(text)).name == "transformers")
    assert Version(__version__) in wanted.specifier


def test_it_says_what_transformers_says(server, taught):
    assert_same_tokens(taught, server.url)
    assert smoke_test(server.url, heard_of(taught)).errors == []


def test_every_series_that_dashboards_rules_and_scaling_name_is_there(server):
    from urllib.request import urlopen

    with urlopen(f"{server.url}/metrics", timeout=60) as answer:
        there = set(re.findall(r"^([a-z0-9_:]+)\{", answer.read().decode(), re.MULTILINE))
    files = [*(ROOT / "dagster_deploy").rglob("*.json"), *(ROOT / "dagster_deploy").rglob("*.yaml")]
    text = " ".join(path.read_text(encoding="utf-8") for path in files)
    scaling = scaled_object("toy", "1", ServingSettings(), load_profile("h100"), "http://prometheus:9090")
    named = set(re.findall(r"\bvllm:[a-z0-9_]+", text + json.dumps(scaling)))
    assert len(named) >= 6
    assert named - there == set()
    assert "http_requests_total" in there, "what a canary is counted by"


def test_canary_promotion_and_rollback_on_it(taught, tmp_path):
    world = World(tmp_path)
    world.platform.close()
    world.platform = LocalPlatform(
        lambda number: world.paths[number], tmp_path / "logs", ready_seconds=READY_SECONDS, command=as_on_a_cluster
    )
    world.watch()
    second = teach(build_model(tmp_path / "second" / "model", seed=2, head_dim=HEAD))
    try:
        first, other = (exported(world.store, f, f"r{n}", heard_of(f)) for n, f in enumerate((taught, second)))
        world.promote(first)
        ours = world.answer()
        with world.asked_all_the_time():
            world.promote(other)
        assert [shares for shares, _ in groupby(world.divided)] == [{"1": 1.0}, {"1": 0.5, "2": 0.5}, {"2": 1.0}]
        assert world.answer() != ours
        assert world.registry.roll_back("toy").number == "1"
        assert world.answer() == ours
    finally:
        world.platform.close()


@pytest.mark.realmodel
def test_a_real_model_says_what_transformers_says(tmp_path):
    folder = real_folder("SmolLM2-135M-Instruct", tmp_path / "toy" / "model")
    started = Server.start(folder, tmp_path / "vllm.log", ready_seconds=READY_SECONDS, command=as_on_a_cluster)
    try:
        assert_same_tokens(folder, started.url)
    finally:
        started.stop()
