"""A list of documents to take down that cannot be read; what a takedown does is in tests/joined."""

from pathlib import Path

import pytest

from korean_llm_assets.__main__ import main
from korean_llm_assets.home import Home


def test_a_list_that_is_not_there_is_said(home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["takedown", "--ids", str(tmp_path / "none")]) == 64
    assert "there is no such file" in capsys.readouterr().err
