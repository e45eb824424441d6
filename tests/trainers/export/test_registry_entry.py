"""What MLflow's registry shows of a model, written while the tracker's thread imports MLflow itself."""

import subprocess
import sys
from pathlib import Path

import yaml

# In a process of its own, where nothing of MLflow is imported yet.
_BOTH_AT_ONCE = """
import sys, threading
from pathlib import Path
from types import SimpleNamespace
from trainers.export.registry_entry import write_registry_entry

def track():
    from mlflow import MlflowClient

threading.excepthook = lambda arguments: failures.append(arguments.exc_value)
failures = []
sender = threading.Thread(target=track)
sender.start()
request = SimpleNamespace(digest="a" * 64, relative_path="deployed_model/m/r/d")
write_registry_entry(Path(sys.argv[1]), request, ["huggingface", "gguf f16"])
sender.join()
sys.exit(str(failures[0]) if failures else 0)
"""


def test_the_entry_is_written_while_the_tracker_imports_mlflow(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _BOTH_AT_ONCE, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    entry = yaml.safe_load((tmp_path / "MLmodel").read_text())
    assert entry["flavors"]["korean_llm"]["forms"] == ["huggingface", "gguf f16"]
    assert "messages" in entry["signature"]["inputs"]
