"""One gate: CI, the workflow and the hooks before a commit call what a person calls."""

import os
import re
import subprocess
from pathlib import Path

import yaml

_ROOT = Path(__file__).parent.parent
(_CHECK,) = re.findall(r"^check: (.+) ##", (_ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_gate_ends_with_the_tests_so_that_their_closing_line_is_the_last():
    assert _CHECK.split() == ["format", "lint", "types", "test"]


def test_ci_is_the_gate_and_keeps_its_exit_code(tmp_path: Path):
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "make $*"\nexit 7\n')
    make.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", ".ci/run"], cwd=_ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (7, "make check\n")


def test_the_workflow_calls_the_same_command():
    workflow = yaml.safe_load((_ROOT / ".github" / "workflows" / "check.yaml").read_text())
    steps = workflow["jobs"]["check"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert os.access(_ROOT / ".ci" / "run", os.X_OK)


def test_the_hooks_are_the_gates_and_fetch_nothing():
    repositories = yaml.safe_load((_ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert [hook["entry"] for hook in hooks] == [f"make {name}" for name in _CHECK.split() if name != "test"]
    assert all(hook["language"] == "system" for hook in hooks)
