"""The command line of the trainers: what it says of the environment before a stage runs."""

from pathlib import Path

import pytest

from trainers.__main__ import main


def test_a_stage_tells_of_a_misspelt_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KOREAN_LLM_PUSH_GATEWAY", "http://127.0.0.1:9")
    assert main(["sft", "--request", str(tmp_path / "absent.json")]) == 64
    errors = capsys.readouterr().err
    assert "warning: nothing reads the variable KOREAN_LLM_PUSH_GATEWAY; did you mean KOREAN_LLM_PUSHGATEWAY?" in errors


def test_a_wrong_value_ends_a_stage_with_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KOREAN_LLM_PARENT", "init")
    assert main(["sft", "--request", str(tmp_path / "absent.json")]) == 64
    assert "KOREAN_LLM_PARENT is 'init'; it must be the number of a process" in capsys.readouterr().err
