"""`make bench-train`: CPT, SFT, DPO and KTO of `tiny` on the sample release, against bare TRL with the same maths.

Pairs of runs, ours and bare, are interleaved, with one seed and so the same batches; each is a fork of a process that
has imported the libraries. The ratio's 95% interval is a bootstrap over the pairs. Both clocks go from the beginning
of the training to its last step; what a checkpoint costs is measured apart, and set against the recipe's own interval
between two. Also: useful tokens (of all cells that the model computes), the largest difference of the losses, seconds
from a fork, and from a process' start with its imports, to the first step. Prints JSON, keeps it under
tests/bench/results/; exit 1 where something wanted is not met.
"""

import argparse
import io
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard
from transformers import Trainer, TrainerCallback

from tests.bench import bare_trl
from tests.support.micro import ROOT, Micro
from trainers.__main__ import main as run_trainers
from trainers.contract import Manifest, StageRequest
from trainers.contract.recipe.loading import load_model_recipe, section_dict
from trainers.sample import documents, instructions, preferences
from trainers.sample.benchmarks import assistant, user
from trainers.sample.release import GENERATED_BYTES

RESULTS = Path(__file__).parent / "results" / "train.json"
STAGES = ("cpt", "sft", "rlhf")
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "cpt": ("cpt", {}),
    "sft": ("sft", {}),
    "dpo": ("rlhf", {}),
    "kto": ("rlhf", {"algorithm": "kto"}),
}
"""What is measured: a stage, and what it changes of its section."""
ENGLISH = ("letters", "notes", "english")
BOOTSTRAPS = 2000
SAVES = 2
"""Checkpoints of one run, whose cost is measured."""

USEFUL, SAVING, FIRST_STEP_SECONDS, SAME_LOSS = 0.99, 0.03, 15.0, 1e-3


class SampleData(Micro):
    """The sample release's own texts, clean and in the form of the data stages."""

    def _write_corpus(self, folder: Path) -> None:
        made = documents.corpus(1, GENERATED_BYTES // 4)
        rows = [
            {"id": f"{domain}-{n}", "text": one.text, "language": "en" if domain in ENGLISH else "ko"}
            for domain, texts in made.items()
            for n, one in enumerate(texts)
        ]
        random.Random(1).shuffle(rows)
        for split, part in (("train", rows[50:]), ("validation", rows[:50])):
            (folder / split).mkdir()
            data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in part).encode()
            (folder / split / "00000.jsonl.zst").write_bytes(zstandard.compress(data))

    def _write_instructions(self, folder: Path) -> None:
        items = instructions.draw(1, 1000, held_out=False)
        _write(folder, [{"messages": user(item.prompt) + assistant(item.answer)} for item in items])

    def _write_preferences(self, folder: Path) -> None:
        _write(
            folder,
            [
                {"prompt": user(pair.prompt), "chosen": assistant(pair.chosen), "rejected": assistant(pair.rejected)}
                for pair in preferences.pairs(1, 420, held_out=False)
            ],
        )


def _write(folder: Path, rows: list[dict[str, Any]]) -> None:
    for split, part in (("train", rows[20:]), ("validation", rows[:20])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in part))


def sections(steps: int) -> dict[str, dict[str, Any]]:
    """`tiny`'s own settings, for so many steps; without replay, which bare TRL does not have."""
    recipe = load_model_recipe(ROOT / "trainers" / "recipes" / "tiny.yaml")
    short = {"max_steps": steps, "checkpoint_steps": -(-steps // (SAVES + 1)), "replay": None}
    return {
        "base_model": section_dict(recipe.base_model),
        **{stage: {**section_dict(getattr(recipe, stage)), **short} for stage in STAGES},
    }


class Gauge(TrainerCallback):
    """Writes to a file what a training took, from its beginning to its last step: CPU seconds of all threads without
    saves, the cells of all the model's inputs, and when the first step was done."""

    def __init__(self, path: Path):
        self._path, self._ended, self._saving, self._cells, self._first = path, 0.0, 0.0, 0, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.process_time()
        kwargs["model"].register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, model: Any, arguments: Any, named: dict[str, Any]) -> None:
        self._cells += named["input_ids"].numel()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._ended = time.process_time()
        self._first = self._first or time.monotonic()
        if state.global_step == state.max_steps:
            cpu = self._ended - self._began - self._saving
            self._path.write_text(json.dumps({"cpu": cpu, "cells": self._cells, "first": self._first}))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._saving += time.process_time() - self._ended


def forked(work: Callable[[], Any], gauge: Path) -> dict[str, float]:
    """Do the work in a child, whose output is kept back until it fails; returns what its training took.

    Raises:
        RuntimeError: the child failed.
    """
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        child = os.fork()
        if not child:
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
            code, before = 1, Trainer.__init__

            def init(self: Any, *arguments: Any, **named: Any) -> None:
                before(self, *arguments, **named)
                self.add_callback(Gauge(gauge))

            Trainer.__init__ = init
            try:
                work()
                code = 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            output.seek(0)
            raise RuntimeError(io.TextIOWrapper(output, errors="replace").read()[-4000:])
    figures: dict[str, float] = json.loads(gauge.read_text())
    return {**figures, "first": figures["first"] - began}


def request_of(micro: Micro, kind: str) -> StageRequest:
    """What is asked of the kind's stage."""
    stage, changes = KINDS[kind]
    return micro.request(stage, **changes)


def ours(micro: Micro, kind: str, seed: int) -> tuple[Manifest, dict[str, float]]:
    """One run of the stage; its manifest and what it took."""
    request = request_of(micro, kind).model_copy(update={"seed": seed})
    path = micro.root / "request.json"
    path.write_text(request.model_dump_json())
    arguments = [
        request.stage,
        "--request",
        str(path),
        "--artifacts",
        str(micro.store.root),
        "--landing",
        str(micro.root),
    ]

    def work() -> None:
        if code := run_trainers(arguments):
            raise SystemExit(code)

    took = forked(work, micro.root / "gauge.json")
    manifest = micro.store.find(request)
    assert manifest is not None
    return manifest, took


def bare(micro: Micro, kind: str, seed: int) -> dict[str, Any]:
    """One run of the bare script on the same model and data."""
    inputs = {name: str(micro.folder(name)) for name in micro.made}
    path = micro.root / "bare.json"
    request = request_of(micro, kind)
    took = forked(
        lambda: path.write_text(json.dumps(bare_trl.train(request.stage, request.section, inputs, seed))),
        micro.root / "gauge.json",
    )
    return {**json.loads(path.read_text()), **took}


def pair(micro: Micro, kind: str, number: int) -> dict[str, float]:
    """Ours and bare, in turns the first."""
    if number % 2:
        plain = bare(micro, kind, number)
        manifest, took = ours(micro, kind, number)
    else:
        manifest, took = ours(micro, kind, number)
        plain = bare(micro, kind, number)
    steps, saving = manifest.metrics["steps"], manifest.timings["saving_seconds"]
    seconds = manifest.timings["train_seconds"] - saving
    losses = [loss for _, loss in manifest.details.loss]
    return {
        "ratio": plain["seconds"] / seconds,
        "cpu_ratio": plain["cpu"] / took["cpu"],
        "tokens_per_second": plain["tokens"] / seconds,
        "bare_tokens_per_second": plain["tokens"] / plain["seconds"],
        "useful_share": plain["tokens"] / took["cells"] * plain["kept_share"],
        "bare_useful_share": plain["tokens"] / plain["cells"] * plain["kept_share"],
        "first_step_seconds": took["first"],
        "step_seconds": seconds / steps,
        "save_seconds": saving / SAVES,
        "loss_difference": max(abs(a - b) for a, b in zip(losses, plain["losses"], strict=True)),
    }


def first_step(micro: Micro, kind: str) -> float:
    """Run the stage in a process of its own, for the stages after it; seconds from its start to its first step."""
    request = request_of(micro, kind)
    began, first = time.monotonic(), 0.0
    with micro.start(request) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if not first and "step 1/" in line:
                first = time.monotonic() - began
    assert process.returncode == 0, "".join(lines)
    micro.keep(request)
    return first


def interval(ratios: list[float]) -> tuple[float, float]:
    """95% bootstrap interval of the mean ratio."""
    source = random.Random(0)
    means = sorted(statistics.fmean(source.choices(ratios, k=len(ratios))) for _ in range(BOOTSTRAPS))
    return means[int(0.025 * BOOTSTRAPS)], means[int(0.975 * BOOTSTRAPS)]


def summary(pairs: list[dict[str, float]], first: float, checkpoint_steps: int) -> dict[str, Any]:
    """One stage's figures, and whether each is what is wanted."""
    figures = {name: statistics.fmean(one[name] for one in pairs) for name in pairs[0]}
    between = checkpoint_steps * figures["step_seconds"]
    figures["saving_share"] = figures["save_seconds"] / (figures["save_seconds"] + between)
    figures["first_step_with_imports_seconds"] = first
    figures["loss_difference"] = max(one["loss_difference"] for one in pairs)
    low, high = interval([one["ratio"] for one in pairs])
    met = {
        "as fast as bare TRL": high >= 1.0,
        "useful tokens": figures["useful_share"] >= USEFUL,
        "checkpoints": figures["saving_share"] < SAVING,
        "start": figures["first_step_with_imports_seconds"] < FIRST_STEP_SECONDS,
        "same maths": figures["loss_difference"] < SAME_LOSS,
    }
    return {**{name: round(value, 5) for name, value in figures.items()}, "interval": [low, high], "met": met}


def main() -> int:
    """Run the pairs and print the table as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.train", description=__doc__)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=45)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS])
    options = parser.parse_args()
    recipe = load_model_recipe(ROOT / "trainers" / "recipes" / "tiny.yaml")
    table = {}
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"KOREAN_LLM_HOME": f"{folder}/home", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        os.environ |= quiet
        micro = SampleData(Path(folder), sections=sections(options.steps))
        micro.run("base_model")
        for kind, (stage, _) in KINDS.items():
            first = first_step(micro, kind)  # the stages after it need what it makes
            if kind in options.kinds:
                pairs = [pair(micro, kind, number) for number in range(options.pairs)]
                table[kind] = summary(pairs, first, getattr(recipe, stage).checkpoint_steps)
                print(f"{kind}: {table[kind]}", file=sys.stderr, flush=True)
    result = {"pairs": options.pairs, "steps": options.steps, "cores": os.cpu_count(), "kinds": table}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))
    return int(not all(all(kind["met"].values()) for kind in table.values()))


if __name__ == "__main__":
    sys.exit(main())
