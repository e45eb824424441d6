"""The compiled loops are there before the first run asks for them."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_first_run_compiles_nothing_more(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    subprocess.run([sys.executable, "-m", "trainers.corpus.compile"], check=True)
    compiled = {path.name for path in tmp_path.rglob("*.nbc")}
    assert len(compiled) >= 12
    program = (
        "from trainers.text.characters import Texts\n"
        "from trainers.text.filters import measure\n"
        "from trainers.text.personal_data import mask\n"
        "texts = Texts.of(['전화 010-1234-5678로 연락하세요'])\n"
        "measure(texts), mask(texts)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert {path.name for path in tmp_path.rglob("*.nbc")} == compiled
