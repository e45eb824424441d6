"""EleutherAI's lm_eval beside the suites: its tasks, pinned by version and data, item by item like ours."""

import os
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

from trainers.contract import BadData, BadRequest, sha256_of
from trainers.evaluation.model import ModelUnderTest
from trainers.evaluation.results import ItemScore

_FRACTIONS = {"acc", "acc_norm", "exact_match", "prefix_match"}
"""lm_eval's metrics that are 0 or 1 for an item; others (F1 over a set) have no items to resample."""


def run_tasks(
    model: ModelUnderTest, tasks: Mapping[str, str], include: Path, limit: int | None
) -> tuple[list[ItemScore], dict[str, str]]:
    """Rows `lm_eval/<task>/<metric>` of the named tasks, and each name's pin, `<version>@<data digest>`.

    YAML tasks below `include` come before lm_eval's own; their data files are named relative to that folder.
    `tasks` maps a task or group to the pin that it must have; an empty pin accepts what comes and only tells it.
    Raises:
        BadRequest: lm_eval has no such task.
        BadData: version or data are not the pinned ones.
    """
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    os.environ.setdefault("HF_DATASETS_TRUST_REMOTE_CODE", "0")
    folder = str(include) if include.is_dir() else None
    manager = TaskManager(include_path=folder, include_defaults=False)
    if any(name not in manager.all_tasks for name in tasks):
        manager = TaskManager(include_path=folder)  # reads thousands of files: seconds, so only where it is needed
    if unknown := [name for name in tasks if name not in manager.all_tasks]:
        raise BadRequest(f"recipe key evaluate.lm_eval names {unknown}, which lm_eval does not have")
    runner = HFLM(
        pretrained=model.weights,
        tokenizer=model.tokenizer,
        max_length=model.window,
        batch_size=max(1, model.batch_tokens // model.window),
    )
    with chdir(folder or "."):
        results = simple_evaluate(
            runner, tasks=list(tasks), limit=limit, task_manager=manager, bootstrap_iters=0, log_samples=True
        )
    rows = [
        ItemScore(
            f"lm_eval/{task}/{metric}",
            "accuracy",
            str(sample["doc_id"]),
            float(sample[metric]),
            1.0,
            str(sample["filtered_resps"])[:200],
            str(sample["target"]),
        )
        for task, samples in results["samples"].items()
        for sample in samples
        for metric in sorted(_FRACTIONS & set(sample["metrics"]))
    ]
    pins = {name: _pin(name, results) for name in tasks}
    for name, pin in tasks.items():
        if pin not in ("", pins[name]):
            raise BadData(f"lm_eval's {name} is {pins[name]}, but the recipe pins {pin}; figures would not compare")
    return rows, pins


def _pin(name: str, results: Mapping[str, Any]) -> str:
    members = results.get("group_subtasks", {}).get(name) or [name]
    versions = sorted({str(results["versions"].get(member)) for member in members})
    documents = {
        member: [sample["doc_hash"] for sample in results["samples"][member]]
        for member in members
        if member in results["samples"]
    }
    return f"{'+'.join(versions)}@{sha256_of(documents)[:16]}"
