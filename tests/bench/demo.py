"""`make bench`: set-up time, the demo's time by stage, tokens/s by stage, Dagster's share; one JSON object."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NEED_NOTHING = ("benchmarks",)
"""Stages whose process can be timed alone, without Dagster and without other artifacts."""


def main() -> None:
    """Set up in a fresh virtual environment, run the demo on fresh state, twice; print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-setup", action="store_true", help="do not time the set-up")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="korean-llm-bench-") as folder:
        figures = {} if options.no_setup else {"setup_seconds": _timed(["make", "setup", f"VENV={folder}/venv"], {})}
        home = Path(folder) / "var"
        command = [sys.executable, "-m", "korean_llm_assets", "demo"]
        figures["demo_seconds"] = _timed(command, {"KOREAN_LLM_HOME": str(home)})
        first = _stages(home)
        figures["demo_again_seconds"] = _timed(command, {"KOREAN_LLM_HOME": str(home)})
        again = _stages(home)
        figures["dagster_overhead_seconds"] = {
            stage["asset"]: round(stage["seconds"] - _process_alone(stage, home, Path(folder) / "alone"), 2)
            for stage in first
            if stage["asset"] in _NEED_NOTHING
        }
    figures["stages"] = {
        stage["asset"]: {
            "seconds": stage["seconds"],
            "inside_the_stage_seconds": round(stage["stage_seconds"], 2),
            "tokens_per_second": stage["timings"].get("tokens_per_second"),
            "reused_seconds": repeated["seconds"] if repeated["reused"] else None,
        }
        for stage, repeated in zip(first, again, strict=True)
    }
    print(json.dumps(figures, indent=1))


def _process_alone(stage: dict, home: Path, artifacts: Path) -> float:
    """Seconds of the stage's process for the same request, started without Dagster."""
    request = Path(stage["location"] + ".request.json")
    command = [sys.executable, "-m", "trainers", stage["asset"], "--request", str(request)]
    tracking = {"MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow/mlflow.db"}
    return _timed([*command, "--artifacts", str(artifacts), "--landing", str(home / "landing")], tracking)


def _timed(command: list[str], extra: dict[str, str]) -> float:
    started = time.monotonic()
    subprocess.run(command, cwd=ROOT, env={**os.environ, **extra}, check=True, stdout=sys.stderr)
    return round(time.monotonic() - started, 1)


def _stages(home: Path) -> list[dict]:
    return json.loads((home / "demo.json").read_text(encoding="utf-8"))["stages"]


if __name__ == "__main__":
    main()
