"""The evaluation's benchmark runs, agrees with lm_eval on every suite, and is not slower."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.prove
@pytest.mark.realdata
def test_our_suites_are_lm_evals_figures_and_not_slower(testdata):
    environment = os.environ | {"KOREAN_LLM_TESTDATA": str(testdata)}
    command = [sys.executable, "-m", "tests.bench.evaluation", "--items", "200"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert report["largest_difference_of_accuracy"] == 0
    assert report["speedup"] >= 1
    assert done.returncode == 0
