"""The demo, end to end, as a new user runs it: real data, real training of `tiny`, judged by its own gate."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ASSETS = ["benchmarks", "instructions", "preferences", "corpus", "base_model"]
ASSETS += ["cpt_checkpoint", "sft_model", "rlhf_model", "eval_report", "deployed_model"]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_demo_ends_with_a_registered_model_and_a_second_one_reuses_everything(tmp_path: Path) -> None:
    environment = {**os.environ, "KOREAN_LLM_HOME": str(tmp_path / "var")}
    environment.pop("OMP_NUM_THREADS", None)  # other tests' toys train on one thread; a user's demo does not
    command = [sys.executable, "-m", "korean_llm_assets", "demo"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    first = json.loads((tmp_path / "var" / "demo.json").read_text())
    assert sorted(row["asset"] for row in first["stages"]) == sorted(ASSETS)
    assert not any(row["reused"] for row in first["stages"])
    report = next(row for row in first["stages"] if row["asset"] == "eval_report")
    assert (Path(report["location"]) / "report.html").exists()
    assert "loss" in done.stdout and "tokens/s" in done.stdout and "ETA" in done.stdout

    again = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, (again.stdout + again.stderr)[-4000:]
    second = json.loads((tmp_path / "var" / "demo.json").read_text())
    assert all(row["reused"] for row in second["stages"])
    assert [row["location"] for row in second["stages"]] == [row["location"] for row in first["stages"]]
