"""A suite of ours as a task of lm_eval: what the evaluation's own figures are compared with."""

from pathlib import Path
from typing import Any


def local_task(name: str, path: Path) -> dict[str, Any]:
    """lm_eval's description of a multiple-choice suite of ours, read from its file: no hub is asked."""
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": metric, "aggregation": "mean"} for metric in ("acc", "acc_norm")],
        "metadata": {"version": 1.0},
    }
