"""Completion as bash does it: the script is evaluated, and asked what could come next."""

import os
import subprocess
import sys

import pytest

from korean_llm_assets.commands.completion import NAME
from korean_llm_assets.commands.modules import MODULES
from trainers.contract import settings


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    environment = {**os.environ, settings.HOME.name: str(tmp_path_factory.mktemp("completion"))}
    command = [sys.executable, "-m", "korean_llm_assets", "completion"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last of these words."""
    line = " ".join(f"'{word}'" for word in (NAME, *words))
    ask = f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; _korean_llm; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.split()


def test_every_command_is_offered_and_its_options(script: str) -> None:
    assert completed(script, "") == sorted(MODULES)
    assert completed(script, "co") == ["compare", "completion", "costs"]
    assert completed(script, "status", "--") == ["--help", "--limit", "--json", "--lang"]


def test_what_an_option_takes_is_offered_where_that_is_known(script: str) -> None:
    assert completed(script, "status", "--lang", "") == ["en", "ko"]
    assert {"tiny", "qwen2.5-7b"} <= set(completed(script, "explain", ""))
    assert completed(script, "serve", "--model", "tin") == ["tiny", "tiny-wide"]


def test_the_short_name_is_the_command_line(script: str) -> None:
    done = subprocess.run(["bash", "-c", f"{script}\n{NAME} status --help"], capture_output=True, text=True, check=True)
    assert "--limit" in done.stdout
