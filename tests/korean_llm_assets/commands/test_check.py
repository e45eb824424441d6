"""Command `check`: what it says of the environment."""

import pytest

from korean_llm_assets.__main__ import main
from korean_llm_assets.home import Home


def test_a_misspelt_variable_is_told(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check"]) == 0
    assert "warning" not in capsys.readouterr().out
    monkeypatch.setenv("KOREAN_LLM_QUIET_SECS", "5")
    assert main(["check"]) == 0
    output = capsys.readouterr().out
    assert "warning: nothing reads the variable KOREAN_LLM_QUIET_SECS; did you mean KOREAN_LLM_QUIET_SECONDS?" in output
