"""`make real`: a real pretrained model from a drop of text to a champion that stops, and its GGUF, on a laptop."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.support.real_models import real_model
from trainers.contract import EvaluationDetails, ExportDetails
from trainers.contract.layout import Place
from trainers.contract.recipe.loading import PACKAGED
from trainers.runner.host_memory import most_resident

MODEL = "smollm2-135m"
MOST_BYTES, USUAL_SECONDS = 12e9, 40 * 60

pytestmark = [pytest.mark.prove, pytest.mark.realmodel, pytest.mark.timeout(3 * USUAL_SECONDS)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """The packaged recipe, its base not fetched from the hub but read from the registry's GGUF."""
    home = tmp_path_factory.mktemp("real")
    recipe = yaml.safe_load((PACKAGED / f"{MODEL}.yaml").read_text())
    base = recipe["base_model"]
    recipe["base_model"] = {"source": "folder", "folder": str(real_model("SmolLM2-135M-Instruct"))}
    recipe["base_model"] |= {key: base[key] for key in ("template", "shape", "needs")}
    (home / "recipes").mkdir()
    (home / "recipes" / f"{MODEL}.yaml").write_text(yaml.safe_dump(recipe))
    own = {"KOREAN_LLM_HOME": str(home / "var"), "KOREAN_LLM_RECIPES": str(home / "recipes")}
    made = {**os.environ, **own}
    made.pop("OMP_NUM_THREADS", None)
    return made


def test_a_real_model_becomes_a_champion_that_stops(environment):
    started = time.monotonic()
    for command in (["demo"], ["serve", "--once", "--port", "0"]):
        words = [sys.executable, "-m", "korean_llm_assets", *command, "--model", MODEL]
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    seconds, peak = time.monotonic() - started, most_resident(resource.RUSAGE_CHILDREN)
    home = Path(environment["KOREAN_LLM_HOME"])
    stages = {row["asset"]: row for row in json.loads((home / "demo.json").read_text())["stages"]}
    details = {asset: Place(Path(row["location"])).read_manifest().details for asset, row in stages.items()}
    report, exported = details["eval_report"], details["deployed_model"]
    assert isinstance(report, EvaluationDetails) and isinstance(exported, ExportDetails)
    korean = [by_stage for suite, by_stage in report.suites.items() if suite.startswith("corpus/ko")]
    assert korean and all(by_stage["cpt"].value < by_stage["base"].value for by_stage in korean)
    assert report.gate_passed, [result.explanation for result in report.gate if not result.passed]
    assert any(reply.ends for reply in report.replies)
    assert set(exported.gguf) == {"f16", "q8_0", "q4_k_m"} and exported.gguf["f16"].replies_compared > 0
    each = {asset: row["seconds"] for asset, row in stages.items()}
    print(f"{seconds:.0f} s, largest process {peak / 1e9:.1f} GB; {each}")
    assert peak < MOST_BYTES
