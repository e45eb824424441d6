"""EleutherAI's lm_eval beside the suites: its tasks, pinned by version and data, item by item like ours."""

import os
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

from trainers.contract import BadData, BadRequest, sha256_of
from trainers.contract.digests import tree_digest
from trainers.evaluation.model import ModelUnderTest
from trainers.evaluation.results import ItemScore

LANDED = "landed@"
"""Begins the pin of tasks that came with the data; the digest of their folder follows."""
_FRACTIONS = {"acc", "acc_norm", "exact_match", "prefix_match"}
"""lm_eval's metrics that are 0 or 1 for an item; others (F1 over a set) have no items to resample."""


def run_tasks(
    model: ModelUnderTest, tasks: Mapping[str, str], include: Path, limit: int | None
) -> tuple[list[ItemScore], dict[str, str]]:
    """Rows `lm_eval/<task>/<metric>` of the named tasks, and each name's pin, `<version>@<data digest>`.

    YAML tasks below `include` come before lm_eval's own; their data files are named relative to that folder.
    `tasks` maps a task or group to the pin that it must have; an empty pin accepts what comes and only tells it.
    Tasks below `include` came with the data: they hold no code (trainers/benchmarks/stage.py), their templates are
    rendered in a sandbox, and a pin must name them, which is looked at before anything of them runs.
    Raises:
        BadRequest: lm_eval has no such task, or one of a drop has no pin or another one.
        BadData: version or data are not the pinned ones.
    """
    import lm_eval.utils
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    os.environ.setdefault("HF_DATASETS_TRUST_REMOTE_CODE", "0")
    lm_eval.utils.env = _sandboxed(lm_eval.utils.env)
    managers: list[tuple[TaskManager, list[str], Path]] = []
    others = list(tasks)
    if include.is_dir():
        manager = TaskManager(include_path=str(include), include_defaults=False)
        landed = [name for name in tasks if name in manager.all_tasks]
        _require_reviewed({name: tasks[name] for name in landed}, include)
        managers.append((manager, landed, include))
        others = [name for name in tasks if name not in landed]
    if others:  # without `include`: a drop takes the place of no task of lm_eval's own
        manager = TaskManager()  # reads thousands of files: seconds, so only where it is needed
        if unknown := [name for name in others if name not in manager.all_tasks]:
            raise BadRequest(f"recipe key evaluate.lm_eval names {unknown}, which lm_eval does not have")
        managers.append((manager, others, Path()))
    runner = HFLM(
        pretrained=model.weights,
        tokenizer=model.tokenizer,
        max_length=model.window,
        batch_size=max(1, model.batch_tokens // model.window),
    )
    rows: list[ItemScore] = []
    pins: dict[str, str] = {}
    for manager, names, place in managers:
        if not names:
            continue
        with chdir(place):
            results = simple_evaluate(
                runner, tasks=names, limit=limit, task_manager=manager, bootstrap_iters=0, log_samples=True
            )
        rows += _scores(results)
        pins |= {name: tasks[name] if place == include else _pin(name, results) for name in names}
    for name, pin in tasks.items():
        if pin not in ("", pins[name]):
            raise BadData(f"lm_eval's {name} is {pins[name]}, but the recipe pins {pin}; figures would not compare")
    return rows, pins


def _require_reviewed(tasks: Mapping[str, str], folder: Path) -> None:
    """See to it that somebody looked at the tasks that came with the data, before anything of them runs.

    Raises:
        BadRequest: the recipe pins another content of their folder, or none.
    """
    pin = f"{LANDED}{tree_digest(folder)[:16]}"
    if unreviewed := [name for name, pinned in tasks.items() if pinned != pin]:
        raise BadRequest(
            f"recipe key evaluate.lm_eval: {unreviewed} came with the landed benchmarks. Read their files, and pin "
            f"them as {pin!r}"
        )


def _scores(results: Mapping[str, Any]) -> list[ItemScore]:
    return [
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


def _sandboxed(environment: Any) -> Any:
    """Jinja that renders the same and reaches nothing of Python's but what the templates are given."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    sandbox = ImmutableSandboxedEnvironment(
        loader=environment.loader,
        undefined=environment.undefined,
        keep_trailing_newline=environment.keep_trailing_newline,
    )
    sandbox.filters.update(environment.filters)
    return sandbox


def _pin(name: str, results: Mapping[str, Any]) -> str:
    members = results.get("group_subtasks", {}).get(name) or [name]
    versions = sorted({str(results["versions"].get(member)) for member in members})
    documents = {
        member: [sample["doc_hash"] for sample in results["samples"][member]]
        for member in members
        if member in results["samples"]
    }
    return f"{'+'.join(versions)}@{sha256_of(documents)[:16]}"
