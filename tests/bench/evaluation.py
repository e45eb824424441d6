"""`make bench-eval`: items per second of our suites against lm_eval called plainly, same model and items, as JSON.

The model is tiny's base model (what it learned does not matter for speed): KOREAN_LLM_BENCH_MODEL names another folder.
Items are the real KoBEST test sets, evenly over the five, from KOREAN_LLM_TESTDATA (default ../shared/data).
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.lm_eval_tasks import local_task
from trainers.contract import settings

ROOT = Path(__file__).parents[2]
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def tiny_base(folder: Path) -> Path:
    """The model folder of tiny's own base model, built as its recipe says."""
    from trainers.contract import STAGES, StageRequest
    from trainers.contract.artifacts import ArtifactStore
    from trainers.contract.recipe.loading import load_model_recipes, section_dict
    from trainers.runner.stage import run_stage

    recipe = load_model_recipes()["tiny"]
    section = section_dict(recipe.base_model)
    version = STAGES["base_model"].version
    request = StageRequest(stage="base_model", stage_version=version, model="tiny", section=section, seed=recipe.seed)
    store = ArtifactStore(folder)
    with contextlib.redirect_stdout(sys.stderr):  # the report is what stdout is for
        run_stage(request, store)
    return store.folder(request) / "model"


def kobest(testdata: Path, count: int) -> dict[str, list[dict[str, Any]]]:
    """Items by suite, evenly."""
    from trainers.benchmarks.formats import spread
    from trainers.benchmarks.published import published_suites

    suites = published_suites(testdata / "eval" / "kobest")
    share = count / sum(len(rows) for rows in suites.values())
    return {name: spread(rows, max(1, round(len(rows) * share))) for name, rows in suites.items()}


def main() -> int:
    """Measure both, print JSON; the exit status is 1 where ours is slower."""
    parser = argparse.ArgumentParser(prog="make bench-eval")
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    options = parser.parse_args()
    testdata = settings.TESTDATA.get() or ROOT.parent / "shared" / "data"
    suites = kobest(testdata, options.items)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HF_DATASETS_CACHE"] = f"{scratch}/cache"
        folder = settings.BENCH_MODEL.get() or tiny_base(Path(scratch) / "artifacts")
        ours = measure_ours(folder, suites, options.batch_tokens)
        theirs = measure_lm_eval(folder, suites, Path(scratch))
    items = sum(len(rows) for rows in suites.values())
    agreement = {name: abs(ours["accuracy"][name] - theirs["accuracy"][name]) for name in suites}
    report = {
        "items": items,
        "cores": os.cpu_count(),
        "ours": {"seconds": ours["seconds"], "items_per_second": items / ours["seconds"]},
        "lm_eval": {"seconds": theirs["seconds"], "items_per_second": items / theirs["seconds"]},
        "speedup": theirs["seconds"] / ours["seconds"],
        "accuracy": ours["accuracy"],
        "largest_difference_of_accuracy": max(agreement.values()),
    }
    print(json.dumps(report, ensure_ascii=False, indent=1))
    return int(report["speedup"] < 1)


def measure_ours(folder: Path, suites: dict[str, list[dict[str, Any]]], batch_tokens: int) -> dict[str, Any]:
    """Seconds of all suites, model loading apart (for both)."""
    from trainers.benchmarks.formats import MultipleChoice, Suite
    from trainers.evaluation.measures import measure_suite
    from trainers.evaluation.model import ModelUnderTest

    model = ModelUnderTest(folder, 512, batch_tokens)
    started = time.perf_counter()
    accuracy = {}
    for name, rows in suites.items():
        measured = measure_suite(model, Suite(name, "multiple_choice", tuple(MultipleChoice(**row) for row in rows)))
        accuracy[name] = sum(row.value for row in measured) / len(measured)
    return {"seconds": time.perf_counter() - started, "accuracy": accuracy}


def measure_lm_eval(folder: Path, suites: dict[str, list[dict[str, Any]]], scratch: Path) -> dict[str, Any]:
    """The same through `lm_eval.simple_evaluate`, batches of 32, from local files."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tasks = []
    for name, rows in suites.items():
        path = scratch / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        tasks.append(local_task(name, path))
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    runner = HFLM(pretrained=model, tokenizer=AutoTokenizer.from_pretrained(folder), batch_size=32, max_length=512)
    manager = TaskManager(include_defaults=False)
    started = time.perf_counter()
    results = simple_evaluate(runner, tasks=tasks, task_manager=manager, bootstrap_iters=0, log_samples=False)
    seconds = time.perf_counter() - started
    metric = {name: "acc" if rows[0].get("score") == "sum" else "acc_norm" for name, rows in suites.items()}
    return {"seconds": seconds, "accuracy": {name: results["results"][name][f"{metric[name]},none"] for name in suites}}


if __name__ == "__main__":
    sys.exit(main())
