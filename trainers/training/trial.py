"""`python -m trainers try --recipe M --release R`: a few steps of each training on the real model and data.

Each stage runs as it would, in processes of its own and in a place that is thrown away: what it took of memory and
time is what it says itself, and what the whole training would take follows from it. It goes on with the nearest model
before it that is made; nothing is tracked, committed or published.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trainers.contract import (
    STAGES,
    BadRequest,
    Input,
    Manifest,
    Stage,
    StageError,
    StageRequest,
    TrainingDetails,
    settings,
)
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.layout import Place
from trainers.contract.memory import GIB, Setting
from trainers.contract.model_shape import Shape
from trainers.contract.planner import GPUS, plan, training_sections
from trainers.contract.recipe import RlhfSection, SftSection, TrainingSection
from trainers.contract.recipe.loading import ModelRecipe, named_recipe, section_dict
from trainers.training.made import model_before, newest
from trainers.training.model_folder import ModelFolder
from trainers.training.steps import batching_of

_HOST = "peak_host_bytes_"


@dataclass(frozen=True)
class Trial:
    """What a few steps of one stage took, and what all of them would."""

    setting: str
    processes: int
    steps: int
    all_steps: int
    loss: list[float]
    step_seconds: float
    tokens_per_second: float
    seconds: float
    """Of the whole trial: set-up, steps, saves, evaluation, publishing."""
    save_seconds: float
    hours: float
    """Of all steps and the saves between them, on as many processes; evaluations come on top."""
    host_gib: dict[str, float]
    """By phase, over all processes."""
    gpu_gib: float | None
    published_gib: float
    planned_gib: float | None = None
    planned_step_seconds: float | None = None
    gpu: str | None = None

    def __str__(self) -> str:
        host = ", ".join(f"{phase.replace('_', '-')} {size:.2f}" for phase, size in self.host_gib.items())
        planned = f", planned on {self.gpu}: {self.planned_gib:.2f}" if self.planned_gib is not None else ""
        gpu = "" if self.gpu_gib is None else f" GPU {self.gpu_gib:.2f}{planned};"
        step = f" (planned on {self.gpu}: {self.planned_step_seconds:.3g} s)" if self.planned_step_seconds else ""
        several = f", {self.processes} processes" if self.processes > 1 else ""
        losses = " → ".join(f"{loss:.4g}" for loss in self.loss)
        return "\n".join(
            (
                f"{self.setting}{several}: {self.steps} steps of {self.all_steps:,} in {self.seconds:.0f} s",
                f"  loss {losses}",
                f"  memory in GiB:{gpu} host: {host}; published {self.published_gib:.2f}",
                f"  {self.tokens_per_second:,.0f} tokens/s, {self.step_seconds:.3g} s a step{step}, "
                f"{self.save_seconds:.2g} s a save; all steps so: {self.hours:,.2f} h",
            )
        )


def try_recipe(options: Namespace) -> str:
    """Try each stage that trains, as far as its data and a model are there; returns the last line to say.

    Raises:
        BadRequest: there is no such recipe, or nothing to try of it.
        StageError: a stage failed, with its exit code; those after it are tried nevertheless.
    """
    recipe, store = named_recipe(options.recipe), ArtifactStore(options.artifacts)
    trials: dict[str, Trial] = {}
    failures: dict[str, int] = {}
    for name, section in training_sections(recipe).items():
        if options.of not in (None, name):
            continue
        inputs = _inputs(store, recipe, STAGES[name], options.release)
        if inputs is None:
            continue
        request = _request(recipe, name, options.release, options.steps, inputs)
        parent = next(iter(inputs.values())).folder
        print(f"{name}: {options.steps} steps, for {parent.relative_to(store.root)}", file=sys.stderr, flush=True)
        processes = max(1, _gpus(section.needs.gpus))
        with _aside(store, request, list(inputs.values())) as beside:
            code = _run(beside, request, processes)
            if code:
                failures[name] = code
                continue
            manifest = beside.find(request)
            assert manifest is not None, "the process ended well"
            trials[name] = _measured(section, processes, manifest, ModelFolder(parent / "model"), options.gpu)
        print(json.dumps({name: asdict(trials[name])}) if options.json else f"{name}: {trials[name]}", flush=True)
    if failures:
        first = next(iter(failures.values()))
        kind = next((kind for kind in StageError.__subclasses__() if kind.code == first), StageError)
        ends = ", ".join(f"{name} ended with exit {code}" for name, code in failures.items())
        raise kind(f"try: {ends}; why is told above")
    if not trials:
        raise BadRequest(
            f"try: {store.root} holds nothing that {recipe.model} could be trained on in release {options.release!r}; "
            "materialize its data and its base_model first"
        )
    return f"try done: {', '.join(trials)}"


def _inputs(store: ArtifactStore, recipe: ModelRecipe, stage: Stage, release: str) -> dict[str, Place] | None:
    """What the stage reads, its model first, by the name of its input; None, said in words, where it is not made."""
    section = training_sections(recipe)[stage.name]
    assert stage.parent is not None, "every stage that trains goes on with a model"
    wanted = {stage.parent.asset: model_before(store, stage, recipe.model, release)}
    for data in (STAGES[name] for name in stage.reads if not STAGES[name].column):
        if data.name != "corpus" or _reads_corpus(section):
            wanted[data.asset] = newest(store, data, recipe.model, release)
    judge = section.sampling.reward_model if isinstance(section, RlhfSection) and section.sampling else None
    if judge is not None:
        wanted["reward_model"] = newest(store, stage, judge, release)
    missing = [name for name, place in wanted.items() if place is None]
    if missing:
        print(f"{stage.name}: {', '.join(missing)} is not made yet", file=sys.stderr, flush=True)
        return None
    return {name: place for name, place in wanted.items() if place is not None}


def _reads_corpus(section: TrainingSection) -> bool:
    return section.replay is not None if isinstance(section, SftSection | RlhfSection) else True


def _request(recipe: ModelRecipe, name: str, release: str, steps: int, inputs: dict[str, Place]) -> StageRequest:
    """The stage's request with so many steps, a save after each, and no tracker. What the recipe leaves open follows
    from its `needs`, as ever, not from what this machine has: rows of a step, backend, precision."""
    section: TrainingSection = training_sections(recipe)[name]
    short = section.model_copy(update={"max_steps": steps, "checkpoint_steps": 1, "report_to": ()})
    return StageRequest(
        stage=name,
        stage_version=STAGES[name].version,
        model=recipe.model,
        release=release,
        section=section_dict(short),
        seed=recipe.seed,
        plugins=section.plugin_digests,
        files=section.local_digests,
        inputs=tuple(_input(asset, place) for asset, place in inputs.items()),
        needs=section.needs,
    )


def _input(asset: str, place: Place) -> Input:
    manifest = place.read_manifest()
    assert manifest is not None, "the newest of those that are committed"
    return Input(name=asset, digest=manifest.digest, path=manifest.request.relative_path)


@contextmanager
def _aside(store: ArtifactStore, request: StageRequest, inputs: list[Place]) -> Iterator[ArtifactStore]:
    """A store beside the real one, on its volume, which has the inputs and is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=".trial-", dir=store.root))
    try:
        for item, place in zip(request.inputs, inputs, strict=True):
            link = folder / item.path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(place.folder, target_is_directory=True)
        yield ArtifactStore(folder)
    finally:
        shutil.rmtree(folder)


def _run(store: ArtifactStore, request: StageRequest, processes: int) -> int:
    """The stage in a process of its own, or in several as one training; its exit code."""
    path = store.root / "request.json"
    path.write_text(request.model_dump_json(), encoding="utf-8")
    torchrun = ["-m", "trainers.torchrun", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    command = [sys.executable, *torchrun, "-m", "trainers", request.stage, "--request", str(path)]
    command += ["--artifacts", str(store.root), "--landing", str(store.root)]
    untracked = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    # What is said goes where errors go: with --json, standard output is the figures'.
    return subprocess.run(command, stdout=sys.stderr, env=untracked | {settings.HOME.name: str(store.root)}).returncode


def _gpus(gpus: int) -> int:
    """As many as the recipe asks for, as far as this machine has them; fewer take more micro-batches to a step."""
    import torch

    here: int = torch.cuda.device_count()
    if here < gpus:
        print(f"warning: the recipe asks for {gpus} GPUs, this machine has {here}", file=sys.stderr, flush=True)
    return min(here, gpus)


def _share_of_all(section: TrainingSection, details: TrainingDetails) -> float:
    """Of all data, what the trial's steps were trained on. RLHF's epochs are those of the rows alone that its steps can
    see (`seen_rows`), hence its tokens; single answers, which only kto reads, are not counted in tokens."""
    tokens = details.packing.get("tokens") if isinstance(section, RlhfSection) else None
    return details.tokens_seen / tokens if tokens else details.epochs


def _as_it_ran(section: TrainingSection, processes: int) -> Setting:
    """The setting on so many processes, of which none had a GPU where the request leaves the precision open."""
    request_section = section.model_copy(update=section.settled)
    batching = batching_of(request_section, processes)
    return replace(
        Setting.of(request_section, processes),
        batch_size=batching.size,
        accumulation=batching.accumulation,
        float32=request_section.precision != "bfloat16",
    )


def _measured(
    section: TrainingSection, processes: int, manifest: Manifest, model: ModelFolder, gpu: str | None
) -> Trial:
    details, timings = manifest.details, manifest.timings
    assert isinstance(details, TrainingDetails), "of a stage that trains"
    steps, step_seconds = details.steps, timings["step_seconds"]
    in_all = math.ceil(round(section.epochs * steps / _share_of_all(section, details), 1))
    all_steps = min(in_all, section.max_steps or in_all)
    save = timings["saving_seconds"] / max(1, steps - 1)  # after each step but the last
    saves = all_steps // section.checkpoint_steps
    setting = _as_it_ran(section, processes)
    planned = None
    if gpu is not None:
        planned = plan(Shape.of_config(model.config), setting, GPUS[gpu], 1.0)
    peak = timings.get("peak_gpu_bytes")
    host = {key.removeprefix(_HOST): size for key, size in timings.items() if key.startswith(_HOST)}
    return Trial(
        setting=setting.training,
        processes=processes,
        steps=steps,
        all_steps=all_steps,
        loss=[value for _, value in details.loss],
        step_seconds=step_seconds,
        tokens_per_second=details.tokens_seen / steps / step_seconds,
        seconds=timings["seconds"],
        save_seconds=save,
        hours=(all_steps * step_seconds + saves * save) / 3600,
        host_gib={phase: round(size / GIB, 3) for phase, size in host.items()},
        gpu_gib=None if peak is None else round(peak / GIB, 3),
        published_gib=round(sum(file.size for file in manifest.files) / GIB, 3),
        planned_gib=None if planned is None else round(planned.memory.total / GIB, 3),
        planned_step_seconds=None if planned is None else round(planned.step_seconds, 4),
        gpu=gpu,
    )
