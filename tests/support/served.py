"""The platform as a user runs it: `python -m korean_llm_assets ui` on a folder of its own, with real stages."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import yaml

from korean_llm_assets.home import Home
from trainers.contract.recipe.loading import recipe_folders

LOCATION = {"repositoryLocationName": "korean_llm", "repositoryName": "__repository__"}
ROOT = Path(__file__).parents[2]
_MADE = """query($key: AssetKeyInput!) {
  assetOrError(assetKey: $key) { ... on Asset { assetMaterializations { partition } } } }"""
_RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


@dataclass
class Served:
    """A running UI, and the command line on the same state."""

    home: Home
    dagster: str
    mlflow: str
    environment: dict[str, str]

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """What the UI asks its server."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        with urlopen(Request(f"{self.dagster}/graphql", body, {"Content-Type": "application/json"}), timeout=60) as got:
            answer = json.load(got)
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def command(self, *arguments: str, timeout: float = 300) -> str:
        """A command line on this state; its output."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments], env=self.environment, capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def dg(self, *arguments: str) -> str:
        """The command line `dg`, in the project's folder."""
        command = [str(Path(sys.executable).with_name("dg")), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def runs(self, **tags: str) -> list[dict[str, Any]]:
        """Runs with these tags, newest first."""
        query = (
            "query($f: RunsFilter!) { runsOrError(filter: $f) { ... on Runs { results { runId status jobName } } } }"
        )
        wanted = [{"key": key.replace("__", "/"), "value": value} for key, value in tags.items()]
        runs: list[dict[str, Any]] = self.ask(query, f={"tags": wanted})["runsOrError"]["results"]
        return runs

    def finish(self, run_id: str, seconds: float = 480) -> str:
        """Wait for a run; its status."""
        ended = ("SUCCESS", "FAILURE", "CANCELED")
        wait_until(lambda: self.ask(_RUN, id=run_id)["runOrError"]["status"] in ended, seconds)
        status: str = self.ask(_RUN, id=run_id)["runOrError"]["status"]
        return status

    def materialized(self, asset: str) -> set[str]:
        """Partitions of an asset that were made."""
        materializations = self.ask(_MADE, key={"path": [asset]})["assetOrError"].get("assetMaterializations", [])
        return {row["partition"] for row in materializations}


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    """Poll until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.5)


def small_release(home: Home, name: str, text: str = "물") -> Path:
    """A release of few real records for the stages that need no model."""
    folder = home.landing / name
    rows = {
        "corpus": [
            {"text": f"{text} 이야기 {number}. {text} 사람들이 {number} 번 길로 {text} 강가까지 걸어서 갔습니다."}
            for number in range(60)
        ],
        "instructions": [
            {
                "instruction": f"{text}은 {number} 도에서 어떻게 되나요?",
                "output": f"{number} 도에서 {text}이 달라집니다.",
            }
            for number in range(40)
        ],
        "preferences": [
            {"prompt": f"{text} {number}", "chosen": f"{text} {number} 잔 드릴게요.", "rejected": "몰라."}
            for number in range(40)
        ],
        "benchmarks": [
            {"id": str(number), "question": f"{text} {number} 잔은?", "choices": ["하나", "둘"], "answer": number % 2}
            for number in range(20)
        ],
    }
    for kind, records in rows.items():
        (folder / kind).mkdir(parents=True)
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (folder / kind / "facts.jsonl").write_text(lines, encoding="utf-8")
    return folder


_NEEDS = {"cpu": 1, "memory": "4Gi"}
IN_FEW_STEPS = {
    "base_model": {"needs": _NEEDS},
    "cpt": {"needs": _NEEDS, "max_steps": 12},
    "sft": {"needs": _NEEDS, "max_steps": 12},
    "rlhf": {"needs": _NEEDS, "max_steps": 6},
    "evaluate": {"needs": _NEEDS, "max_items_per_suite": 8, "behaviour_prompts": 2, "samples": 1, "gate": {}},
    "export": {"needs": _NEEDS},
}
"""What makes of `tiny` a model of a few steps, without a gate."""


def own_recipes(home: Home, **recipes: dict[str, Any]) -> Path:
    """A folder of the user's own recipes: changes on top of tiny's."""
    folder = home.root / "recipes"
    folder.mkdir(parents=True, exist_ok=True)
    for name, changes in recipes.items():
        text = yaml.safe_load((recipe_folders()[0] / "tiny.yaml").read_text())
        for section, values in changes.items():
            text[section] = {**text[section], **values} if isinstance(values, dict) else values
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**text, "model": name}))
    return folder


@contextmanager
def served(home: Home, **variables: str) -> Iterator[Served]:
    """Run the UI command, wait until it prints its addresses, and stop it as Ctrl-C does."""
    environment = {**os.environ, **home.environment(), **variables}
    log = home.root / "ui.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "korean_llm_assets", "ui", "--dagster-port", "0", "--mlflow-port", "0"]
    with log.open("w") as stream, subprocess.Popen(command, env=environment, stdout=stream, stderr=stream) as process:
        try:
            wait_until(lambda: "Ctrl-C stops all" in log.read_text() or process.poll() is not None, 300)
            assert process.poll() is None, log.read_text()[-3000:]
            pages = dict(re.findall(r"^(Dagster|MLflow) +(http://\S+)$", log.read_text(), re.MULTILINE))
            yield Served(home, pages["Dagster"], pages["MLflow"], environment)
            process.send_signal(signal.SIGINT)
            assert process.wait(90) == 0, "Ctrl-C is a clean end"
        finally:
            process.terminate()
