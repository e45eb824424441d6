"""The GPU check: what it makes of its figures, and that it goes through on a CPU, command and all."""

import json
import subprocess
import sys

import pytest

from tests.gpu.report import markdown, verdicts
from tests.support.micro import ROOT


def figures(speed: float, memory: float, last: float, attention: str) -> dict:
    merge = {"mean_kl": 1e-4}
    rates = {"tokens_per_second": speed, "peak_memory_gib": memory, "mfu": 0.5, "hfu": 0.6}
    return {**rates, "losses": [6.0, last], "merge": merge, "kernels": {"attention": attention}}


def result(**unsloth: float) -> dict:
    runs = {
        "transformers": figures(100.0, 10.0, 5.0, "sdpa"),
        "unsloth": figures(**{"speed": 250.0, "memory": 3.0, "last": 5.01} | unsloth, attention="unsloth: sdpa"),
    }
    resumed = {"said": "went on from step 5", "difference": 0.001}
    other = {"device": "a GPU", "matmul_tflops": 700.0, "differs_from_lock": {}, "left_out": [], "seconds": 60}
    return {**other, "shapes": {"7b": runs}, "resume": resumed, "dpo": {}, "grpo": {}}


def test_all_that_is_wanted_is_met():
    assert {row["met"] for row in verdicts(result(), None)} == {True}


@pytest.mark.parametrize(
    ("worse", "row"),
    (
        ({"speed": 190.0}, "7b: unsloth's tokens/s over plain TRL's"),
        ({"memory": 4.1}, "7b: unsloth's peak memory over plain TRL's"),
        ({"last": 5.2}, "7b: unsloth's losses like plain TRL's"),
    ),
)
def test_what_is_missed_is_told_by_its_row(worse, row):
    rows = verdicts(result(**worse), None)
    assert [each["what"] for each in rows if not each["met"]] == [row]
    page = markdown({**result(**worse), "verdicts": rows})
    assert f"| {row} |" in page and page.count("**no**") == 1 and "| 7b | unsloth | unsloth: sdpa | " in page


def test_losses_are_held_against_the_golden_ones_of_the_same_device():
    rows = verdicts(result(last=5.01), result(last=5.3))
    assert "7b unsloth: losses like the golden ones" in [row["what"] for row in rows if not row["met"]]


@pytest.mark.slow
@pytest.mark.prove
def test_it_goes_through_on_a_cpu(tmp_path):
    command = [sys.executable, "-m", "tests.gpu.check", "--dry", "--minutes", "14", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((tmp_path / "dry.json").read_text())
    (runs,) = written["shapes"].values()
    assert len(runs["transformers"]["losses"]) == 50 and written["dpo"]["steps"] == 4 and written["grpo"]["steps"] == 2
    assert (tmp_path / "dry.md").read_text().startswith("# GPU check on cpu (dry run)")
