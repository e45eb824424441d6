"""Two models at the same time on one machine: their artifacts, logs and tracking never meet."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from korean_llm_assets.compute.fair import FairPool
from korean_llm_assets.partitions.recipes import model_recipes, registered_name
from tests.korean_llm_assets.conftest import WHOLE, PlatformUnderTest, drop

MODELS = ("tiny", "tiny-wide")
TRAIN = """
import sys
from dagster import AssetKey, DagsterInstance
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.keys import cell_key
from tests.korean_llm_assets.conftest import PlatformUnderTest, define
model, chain = sys.argv[1], [AssetKey(name) for name in ("cpt_checkpoint", "sft_model", "rlhf_model")]
with DagsterInstance.get() as instance:
    platform = PlatformUnderTest(Home.from_environment(), instance, define())
    assert platform.run("base", model).success
    assert platform.run("training", cell_key(model, "r1"), asset_selection=chain).success
"""


def test_the_second_model_is_trained_only_when_somebody_asks() -> None:
    assert [model_recipes()[model].automation for model in MODELS] == ["auto", "ask"]


@pytest.mark.slow
def test_two_models_at_once_never_meet(platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOREAN_LLM_CORES", "4")  # so that both have room
    drop(platform.home.landing, "r1", WHOLE)
    platform.instance.add_dynamic_partitions("release", ["r1"])
    assert platform.run("data", "r1").success
    runs = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", TRAIN, model], env=os.environ) for model in MODELS]
    assert [run.wait(240) for run in runs] == [0, 0]

    files = {model: _of(platform.home.artifacts, model) for model in MODELS}
    assert not set(files["tiny"]) & set(files["tiny-wide"])
    for model, other in (MODELS, MODELS[::-1]):
        manifests = [json.loads(path.read_text()) for path in files[model] if path.name == "manifest.json"]
        assert len(manifests) == 4
        made = {manifest["request_digest"] for manifest in manifests}
        for manifest in manifests:
            assert manifest["request"]["model"] == model
            for item in manifest["request"]["inputs"]:
                assert f"/{other}/" not in f"/{item['path']}/"
        journals = [platform.home.artifacts / ".tracking" / f"{digest}.jsonl" for digest in made]
        began = [json.loads(journal.read_text().splitlines()[0]) for journal in journals]
        assert {entry["begin"]["model"] for entry in began} == {model}
        assert all(model in entry["parent"].split("/") for entry in began), began
        messages = "".join(path.read_text() for path in files[model] if path.name.endswith(".messages.jsonl"))
        assert "at work" in messages and not any(digest in messages for digest in _requests(files[other]))
    assert registered_name("tiny") != registered_name("tiny-wide")

    pool = FairPool.model_validate_json((platform.home.root / "pool" / "state.json").read_text())
    assert not pool.tickets and set(MODELS) <= set(pool.served)  # both went through the pool, and gave all back


def _of(artifacts: Path, model: str) -> list[Path]:
    """Every file of a model's folders: its artifacts, requests and messages."""
    return [path for path in artifacts.glob(f"*/{model}/**/*") if path.is_file()]


def _requests(files: list[Path]) -> set[str]:
    return {path.name.split(".")[0] for path in files if path.name.endswith(".request.json")}
