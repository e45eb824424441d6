"""Command `check`: what it says of the environment, to people and to programs."""

import json

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


def test_a_program_reads_the_same(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KOREAN_LLM_QUIET_SECS", "5")
    (home.landing / "half" / "corpus").mkdir(parents=True)
    (home.landing / "half" / "corpus" / "a.txt").write_text("글")
    assert main(["check", "--json"]) == 0
    says = json.loads(capsys.readouterr().out)
    assert "KOREAN_LLM_QUIET_SECS" in says["warnings"][0] and list(says["incomplete_drops"]) == ["half"]
    assert says["alert_channels"] == says["landing_elsewhere"] == says["cluster_problems"] == []
    assert says["unusable_recipes"] == {} and says["assets"] >= 10 and says["state"] == str(home.root)
