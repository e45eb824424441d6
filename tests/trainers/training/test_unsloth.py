"""Unsloth itself, on this machine's CPU, through the product's own stages, against the transformers backend."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from tests.support.families import FAMILIES, build_family
from tests.support.micro import ROOT, SECTIONS, Micro
from tests.support.unsloth_environment import unsloth_python
from trainers.contract import Manifest, StageRequest

pytestmark = [pytest.mark.slow, pytest.mark.prove, pytest.mark.unsloth, pytest.mark.timeout(3600)]

COMMON: dict[str, Any] = {
    **{"batch_size": 2, "max_length": 48, "max_steps": 2, "method": "lora", "lora": {"rank": 4, "alpha": 8}},
    "stall_seconds": 7200,  # a step in the interpreter, on a machine that does other things
}
CHAT_LENGTH = 150
NAMES = ("llama3", "qwen2.5", "qwen3", "gemma3", "phi", "exaone4")
REWRITTEN = ("llama3", "qwen2.5", "qwen3")
"""Families with Unsloth's own attention; the others keep transformers'."""
CHOSEN = {"gemma3": "eager"}
"""What Unsloth takes in place of sdpa: flex attention on a GPU, which is turned off here (unsloth_on_cpu.py)."""
SAMPLING = {"rewards": ["language"], "generations": 4, "completion_length": 8}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "dpo": {},
    "kto": {},
    "orpo": {},
    "grpo": {"sampling": SAMPLING, "batch_size": 4},
    "rloo": {"sampling": SAMPLING, "batch_size": 4},
}


@dataclass
class Cpu:
    """A process that has imported Unsloth, and runs stages in forks of itself (tests/support/unsloth_on_cpu.py)."""

    process: subprocess.Popen[str]
    folder: Path

    def begin(self, micro: Micro, request: StageRequest) -> int:
        """Start a stage; returns the number of its process."""
        path = micro.root / f"{request.digest}.json"
        path.write_text(request.model_dump_json())
        places = ["--artifacts", str(micro.store.root), "--landing", str(micro.root)]
        self._say([str(self.output), request.stage, "--request", str(path), *places])
        return self._number()

    def end(self) -> int:
        """The exit code of the stage that was begun."""
        return self._number()

    def run(self, micro: Micro, stage: str, **changes: Any) -> Manifest:
        """A stage by Unsloth, to its end."""
        request = micro.request(stage, **COMMON | {"backend": "unsloth"} | changes)
        self.begin(micro, request)
        assert self.end() == 0, self.output.read_text()[-5000:]
        return micro.keep(request)

    @property
    def output(self) -> Path:
        """What the stages have said."""
        return self.folder / "output"

    def _say(self, line: list[str]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def _number(self) -> int:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():  # Unsloth greets on the same stream
            if line.strip().lstrip("-").isdigit():
                return int(line)
        raise AssertionError(f"it ended: {(self.folder / 'errors').read_text()[-5000:]}")


@pytest.fixture(scope="module")
def cpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cpu]:
    folder = tmp_path_factory.mktemp("unsloth")
    written = {"UNSLOTH_COMPILE_LOCATION": str(folder / "generated"), "KOREAN_LLM_HOME": str(folder / "home")}
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            [unsloth_python(), "-m", "tests.support.unsloth_on_cpu"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **written},
            cwd=folder,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        yield Cpu(process, folder)
        process.stdin.close()
        process.wait(30)


class Bases(dict[str, Micro]):
    """A family's base model and the inputs of the stages that train, once for all tests of it."""

    def __init__(self, root: Path):
        self._root = root

    def __missing__(self, name: str) -> Micro:
        source = build_family(name, self._root / "hub" / name)
        base = {"source": "folder", "folder": str(source), "template": FAMILIES[name].template}
        self[name] = micro = Micro(self._root / name, sections={**SECTIONS, "base_model": base})
        micro.here("base_model")
        for stands_for in ("cpt_checkpoint", "sft_model"):
            micro.made[stands_for] = micro.made["base_model"].model_copy(update={"name": stands_for})
        return micro


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    return Bases(tmp_path_factory.mktemp("bases"))


@dataclass
class Both:
    """The same training by either backend, and its folders."""

    unsloth: Manifest
    plain: Manifest
    folders: tuple[Path, Path]
    parent: Path

    @property
    def losses(self) -> tuple[list[float], list[float]]:
        return tuple([loss for _, loss in one.details.loss] for one in (self.unsloth, self.plain))

    def adapters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return tuple(load_file(folder / "adapter" / "adapter_model.safetensors") for folder in self.folders)


def by_both(cpu: Cpu, micro: Micro, stage: str, **changes: Any) -> Both:
    made, request = dict(micro.made), micro.request(stage)
    parent = micro.folder(request.inputs[0].name)
    before = files_of(parent)
    ours, folder = cpu.run(micro, stage, **changes), micro.folder(request.asset)
    plain = micro.here(stage, **COMMON | {"backend": "transformers"} | changes)
    both = Both(ours, plain, (folder, micro.folder(request.asset)), parent)
    micro.made = made
    assert files_of(parent) == before, "nothing was written into what training began from"
    return both


def files_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def alike(both: Both, family: str) -> None:
    """What is true of every stage: the same data, losses, targets and merge; and it is said what computed it."""
    ours, plain = both.unsloth.details, both.plain.details
    assert (ours.backend, plain.backend) == ("unsloth", "transformers")
    assert (ours.tokens_trained, ours.tokens_seen) == (plain.tokens_trained, plain.tokens_seen)
    assert both.losses[0] == pytest.approx(both.losses[1], rel=0.01)
    settings = [json.loads((folder / "adapter" / "adapter_config.json").read_text()) for folder in both.folders]
    assert settings[0]["target_modules"] == settings[1]["target_modules"]
    shapes = [{name: weight.shape for name, weight in weights.items()} for weights in both.adapters()]
    assert shapes[0] == shapes[1]
    for details in (ours, plain):
        assert details.merge["max_logit_difference"] < 1e-3 and details.merge["greedy_tokens_equal"] == 1.0
    kernels = {"optimizer": "adamw_torch_fused", "trained": "float32", "frozen": "float32", "autocast": "no"}
    assert kernels.items() <= ours.kernels.items() and kernels.items() <= plain.kernels.items()
    assert ours.kernels["attention"] == ("unsloth: sdpa" if family in REWRITTEN else CHOSEN.get(family, "sdpa"))


@pytest.mark.parametrize("family", NAMES)
def test_continued_pretraining_is_the_same(cpu, bases, family):
    both = by_both(cpu, bases[family], "cpt")
    alike(both, family)
    for manifest in (both.unsloth, both.plain):
        assert manifest.details.packing["leakage"] < 1e-3
    assert both.unsloth.metrics["evaluation_loss"] == pytest.approx(both.plain.metrics["evaluation_loss"], rel=0.01)


@pytest.mark.parametrize("family", NAMES)
def test_fine_tuning_is_the_same_and_teaches_the_end_of_turn(cpu, bases, family):
    both = by_both(cpu, bases[family], "sft", max_length=CHAT_LENGTH)
    alike(both, family)
    assert both.unsloth.details.mask_sample == both.plain.details.mask_sample
    assert both.unsloth.details.packing["leakage"] < 1e-3
    end = both.unsloth.details.facts.end_of_turn
    for folder in both.folders:
        before, after = (embeddings(path / "model") for path in (both.parent, folder))
        changed = (before != after).any(dim=1).nonzero().flatten().tolist()
        assert changed == [end], "one row of the embeddings has learned"


def embeddings(folder: Path) -> Any:
    with safe_open(folder / "model.safetensors", "pt") as weights:
        (name,) = (name for name in weights.keys() if name.endswith("embed_tokens.weight"))  # noqa: SIM118
        return weights.get_tensor(name)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_trains(cpu, bases, algorithm):
    family = REWRITTEN[list(ALGORITHMS).index(algorithm) % len(REWRITTEN)]
    changes = {"algorithm": algorithm, "max_length": CHAT_LENGTH, **ALGORITHMS[algorithm]}
    both = by_both(cpu, bases[family], "rlhf", **changes)
    if algorithm in ("grpo", "rloo"):  # each answers with its own random numbers
        assert both.unsloth.details.steps == 2 and "reward" in both.unsloth.metrics
    else:
        alike(both, family)
    assert both.unsloth.metrics["preference_accuracy_before"] == both.plain.metrics["preference_accuracy_before"]


def test_trained_embeddings_are_the_same_and_lie_in_no_file_beside_their_base(cpu, bases):
    both = by_both(cpu, bases["llama3"], "cpt", embedding_learning_rate=1e-4)
    alike(both, "llama3")


def test_full_training_is_in_float32(cpu, bases):
    both = by_both(cpu, bases["qwen3"], "cpt", method="full", lora=None, learning_rate=1e-4)
    assert both.unsloth.details.kernels["trained"] == "float32"
    assert both.losses[0] == pytest.approx(both.losses[1], rel=1e-3)


def test_a_killed_training_ends_with_the_bits_of_one_that_was_not(cpu, bases):
    micro = bases["qwen2.5"]
    changes = {**COMMON, "backend": "unsloth", "checkpoint_steps": 1, "max_steps": 5}
    request = micro.request("cpt", **changes)
    child = cpu.begin(micro, request)
    checkpoints = micro.store.beside(request).scratch / "checkpoints"
    deadline = time.monotonic() + 600
    while not any(int(path.name.removeprefix("step-")) >= 2 for path in checkpoints.glob("step-*")):
        assert time.monotonic() < deadline, cpu.output.read_text()[-5000:]
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    assert cpu.end() == -signal.SIGKILL
    cpu.begin(micro, request)
    assert cpu.end() == 0, cpu.output.read_text()[-5000:]
    killed = micro.store.find(request)
    assert killed.attempts[-1].resumed_from_step >= 2 and killed.details.backend == "unsloth"
    straight = request.model_copy(update={"model": "straight"})
    cpu.begin(micro, straight)
    assert cpu.end() == 0, cpu.output.read_text()[-5000:]
    assert {file.path: file.sha256 for file in killed.files} == {
        file.path: file.sha256 for file in micro.store.find(straight).files
    }


def test_a_process_of_its_own_writes_where_the_stage_works_and_nowhere_else(bases, tmp_path):
    """As a node runs it: nothing is imported before the stage imports it."""
    micro = bases["phi"]
    request = micro.request("cpt", **COMMON, backend="unsloth").model_copy(update={"model": "alone"})
    path = tmp_path / "request.json"
    path.write_text(request.model_dump_json())
    work = tmp_path / "work"
    work.mkdir()
    command = [unsloth_python(), "-m", "tests.support.unsloth_on_cpu", "cpt", "--request", str(path)]
    done = subprocess.run(
        [*command, "--artifacts", str(micro.store.root), "--landing", str(micro.root)],
        env=micro.environment(),
        cwd=work,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(work.iterdir()) == []
    files = {file.path.partition("/")[0] for file in micro.store.find(request).files}
    assert files == {"model", "adapter", "history.jsonl"}
