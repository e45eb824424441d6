"""The first start on an empty folder, by several processes at once."""

import os
import subprocess
import sys
from pathlib import Path


def test_processes_that_start_at_once_on_an_empty_folder_make_one_state(tmp_path: Path) -> None:
    environment = {**os.environ, "KOREAN_LLM_HOME": str(tmp_path / "var")}
    command = [sys.executable, "-W", "ignore", "-m", "korean_llm_assets", "status"]
    starts = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    outputs = [start.communicate(timeout=240)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0], outputs
