"""The code location is light: it loads in seconds, without the libraries that train."""

import os
import resource
import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "lm_eval", "kss", "soynlp", "mlflow")


def test_loading_the_code_location_takes_under_five_seconds_and_no_torch(tmp_path: Path) -> None:
    code = f"import sys, korean_llm_assets.definitions; print(sorted(set({HEAVY}) & set(sys.modules)))"
    environment = {**os.environ, "KOREAN_LLM_HOME": str(tmp_path)}
    seconds = []
    for _ in range(2):  # the first one compiles
        before = _child_seconds()
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        seconds.append(_child_seconds() - before)
    assert done.stdout.strip() == "[]"
    assert min(seconds) < 5, seconds


def _child_seconds() -> float:
    """Processor time of ended child processes: what loading takes where nothing else works."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_stage_can_be_asked_for_help_without_dagster_or_torch() -> None:
    code = (
        "import sys, trainers.runner.stage, trainers.__main__; print(sorted({'dagster', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
