"""The demo, end to end, as a new user runs it: real data, real training of `tiny`, judged by its own gate."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainers.contract import StageRequest
from trainers.contract.artifacts import ArtifactStore

ASSETS = ["benchmarks", "instructions", "preferences", "corpus", "base_model"]
ASSETS += ["cpt_checkpoint", "sft_model", "rlhf_model", "eval_report", "deployed_model"]
COMMAND = [sys.executable, "-m", "korean_llm_assets", "demo"]
SAMPLING = {"rewards": ["format", "honorific"], "generations": 8, "completion_length": 24}
ONLINE = {"sampling": SAMPLING, "batch_size": 32, "max_steps": 30, "learning_rate": 1e-3, "beta": 1e-3}
ONLINE["schedule"] = "constant_with_warmup"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "var"


@pytest.fixture(scope="module")
def environment(home: Path) -> dict[str, str]:
    environment = {**os.environ, "KOREAN_LLM_HOME": str(home)}
    environment.pop("OMP_NUM_THREADS", None)  # other tests' toys train on one thread; a user's demo does not
    return environment


@pytest.fixture(scope="module")
def demo_output(environment: dict[str, str]) -> str:
    """What the first demo printed."""
    return run(COMMAND, environment)


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def test_the_demo_ends_with_a_registered_model_and_a_second_one_reuses_everything(
    home, environment, demo_output
) -> None:
    first = json.loads((home / "demo.json").read_text())
    assert sorted(row["asset"] for row in first["stages"]) == sorted(ASSETS)
    assert not any(row["reused"] for row in first["stages"])
    report = next(row for row in first["stages"] if row["asset"] == "eval_report")
    assert (Path(report["location"]) / "report.html").exists()
    assert "loss" in demo_output and "tokens/s" in demo_output and "ETA" in demo_output

    run(COMMAND, environment)
    second = json.loads((home / "demo.json").read_text())
    assert all(row["reused"] for row in second["stages"])
    assert [row["location"] for row in second["stages"]] == [row["location"] for row in first["stages"]]


@pytest.mark.prove
@pytest.mark.parametrize(
    ("algorithm", "changes", "figure", "rise"),
    (
        pytest.param("kto", {}, "preference_accuracy", 0.08, id="kto"),
        pytest.param("orpo", {"beta": 0.5}, "preference_accuracy", 0.08, id="orpo"),
        pytest.param("reward_model", {"replay": None}, "reward_accuracy", 0.4, id="reward_model"),  # from a guess
        pytest.param("grpo", ONLINE, "reward", 1.0, id="grpo"),  # of 2
        pytest.param("rloo", ONLINE, "reward", 1.0, id="rloo"),
    ),
)
def test_each_other_algorithm_moves_its_figure_on_tiny(
    home: Path,
    environment: dict[str, str],
    demo_output: str,
    algorithm: str,
    changes: dict[str, Any],
    figure: str,
    rise: float,
) -> None:
    stages = json.loads((home / "demo.json").read_text())["stages"]
    dpo = Path(next(row["location"] for row in stages if row["asset"] == "rlhf_model"))
    store = ArtifactStore(home / "artifacts")
    given = store.read(dpo).request
    section = {**given.section, "algorithm": algorithm, **changes}
    request = StageRequest.model_validate({**given.model_dump(exclude={"digest"}), "section": section})
    path = home / f"{algorithm}.json"
    path.write_text(request.model_dump_json())
    where = ["--request", str(path), "--artifacts", str(store.root), "--landing", str(home / "landing")]
    run([sys.executable, "-m", "trainers", "rlhf", *where], environment)
    manifest = store.find(request)
    assert manifest is not None
    assert manifest.metrics[figure] >= manifest.metrics.get(f"{figure}_before", 0.5) + rise
