"""A stage on a volume that is really full: its exit code, the reason in words, nothing half; room made, it goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.corpus_landing import data_request, write_jsonl
from tests.support.small_volume import small_volume
from trainers.contract import ExitCode
from trainers.contract.artifacts import ArtifactStore

ROOT = Path(__file__).parents[3]


@pytest.fixture
def volume(tmp_path):
    """A small file system, and how to resize it."""
    folder = tmp_path / "volume"
    with small_volume(folder) as resize:
        yield folder, resize


@pytest.mark.slow
def test_a_full_volume_is_said_and_room_made_the_stage_goes_on(tmp_path, volume):
    folder, resize = volume
    question = "가" * 300
    rows = [
        {"instruction": f"{number}번째 질문입니다. {question}", "output": "답입니다. " * 40} for number in range(3000)
    ]
    write_jsonl(tmp_path / "landing/r1/instructions/a.jsonl", rows)
    request = data_request("instructions", tmp_path / "landing")
    (tmp_path / "request.json").write_text(request.model_dump_json())

    def run():
        where = ["--artifacts", str(folder), "--landing", str(tmp_path / "landing")]
        command = [
            sys.executable,
            "-m",
            "trainers",
            "instructions",
            "--request",
            str(tmp_path / "request.json"),
            *where,
        ]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)

    full = run()
    assert full.returncode == ExitCode.DISK_TROUBLE, full.stdout + full.stderr
    partial = ArtifactStore(folder).folder(request).parent
    assert f"stage instructions in {partial}" in full.stderr and "No space left on device. Free space" in full.stderr
    assert ArtifactStore(folder).find(request) is None
    resize("64m")
    again = run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert ArtifactStore(folder).find(request).metrics["rows"] > 0
