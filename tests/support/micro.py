"""A whole training pipeline in miniature: committed data artifacts, requests for the stages, and ways to run them."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import zstandard

from tests.support.plugins import digests_of
from tests.support.toy import write_suites
from trainers.contract import (
    STAGES,
    BenchmarkDetails,
    CorpusDetails,
    DatasetDetails,
    Details,
    Input,
    Manifest,
    StageRequest,
)
from trainers.contract.artifacts import ArtifactStore
from trainers.runner.stage import run_stage

ROOT = Path(__file__).parents[2]
INPUTS = {
    "base_model": (),
    "cpt": ("base_model", "corpus"),
    "sft": ("cpt_checkpoint", "instructions", "corpus"),
    "rlhf": ("sft_model", "preferences", "corpus"),
    "evaluate": ("base_model", "cpt_checkpoint", "sft_model", "rlhf_model", "benchmarks", "corpus"),
}
OPTIONAL = {"cpt": ("previous_checkpoint", "previous_corpus"), "rlhf": ("reward_model",)}
SHAPE = {"hidden_size": 32, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate_size": 64, "max_length": 128}
COMMON = {"batch_size": 4, "max_length": 64, "learning_rate": 3e-3, "checkpoint_steps": 3}
SECTIONS: dict[str, dict[str, Any]] = {
    "base_model": {"source": "built", "architecture": SHAPE, "vocabulary": 500},
    "cpt": {**COMMON, "method": "full", "max_steps": 8, "english_replay_share": 0.1},
    "sft": {**COMMON, "lora": {"rank": 4, "alpha": 8}, "max_steps": 8},
    "rlhf": {**COMMON, "lora": {"rank": 4, "alpha": 8}, "max_steps": 8},
}
_THINGS = ("사과", "버스", "연필", "고양이", "기차", "우산", "책상", "바나나")
_SORTS = ("과일", "탈것", "문구", "동물", "탈것", "물건", "가구", "과일")


def texts(count: int, seed: int) -> list[tuple[str, str]]:
    """(language, text): short and long documents, one in five English."""
    rng = random.Random(seed)
    texts = []
    for number in range(count):
        length = rng.choice((1, 2, 4, 12))
        if number % 5 == 0:
            texts.append(
                ("en", " ".join(f"The {rng.choice(('cat', 'dog', 'bus'))} is here today." for _ in range(length)))
            )
        else:
            texts.append(("ko", " ".join(f"{rng.choice(_THINGS)}는 오늘 여기에 있습니다." for _ in range(length))))
    return texts


def conversation(number: int) -> list[dict[str, str]]:
    at = number % len(_THINGS)
    return [
        {"role": "user", "content": f"{_THINGS[at]}는 무엇인가요? ({number})"},
        {"role": "assistant", "content": _SORTS[at]},
    ]


@dataclass
class Micro:
    """An artifact root with data in it; stages are run with what was made before."""

    root: Path
    made: dict[str, Input] = field(default_factory=dict)
    scale: int = 1
    sections: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(SECTIONS))

    def __post_init__(self) -> None:
        self.store = ArtifactStore(self.root / "artifacts")
        self._commit("corpus", _corpus_details(), self._write_corpus)
        self._commit("instructions", _set_details(), self._write_instructions)
        self._commit("preferences", _set_details(), self._write_preferences)
        self._commit("benchmarks", BenchmarkDetails(suites={"sorts": 8, "answers": 8}), _write_benchmarks)

    @classmethod
    def with_stand_ins(cls, root: Path) -> "Micro":
        """Every stage's inputs; the base model stands for the trained ones."""
        micro = cls(root)
        micro.here("base_model")
        for name in ("cpt_checkpoint", "sft_model"):
            micro.made[name] = micro.made["base_model"].model_copy(update={"name": name})
        return micro

    def request(self, stage: str, **changes: Any) -> StageRequest:
        section = {key: value for key, value in {**self.sections[stage], **changes}.items() if value is not None}
        kind = STAGES[stage]
        return StageRequest(
            stage=stage,
            stage_version=kind.version,
            model="micro",
            release="r1" if kind.by_release else None,
            section=section,
            seed=7,
            plugins=digests_of(stage, section),
            files=kind.section.model_validate(section).local_digests,
            inputs=tuple(self.made[name] for name in self._inputs(stage)),
        )

    def _inputs(self, stage: str) -> list[str]:
        return [*INPUTS[stage], *(name for name in OPTIONAL.get(stage, ()) if name in self.made)]

    def here(self, stage: str, **changes: Any) -> Manifest:
        """Run a stage in this process, which imports the libraries once for all of them."""
        request = self.request(stage, **changes)
        hearing = signal.getsignal(signal.SIGTERM)
        with patch.dict(os.environ, {"KOREAN_LLM_HOME": str(self.root / "home")}):
            run_stage(request, self.store, self.root)
        signal.signal(signal.SIGTERM, hearing)
        return self.keep(request)

    def environment(self, **more: str) -> dict[str, str]:
        own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "KOREAN_LLM_HOME": str(self.root / "home")}
        return {**os.environ, **own, **more}

    def start(
        self, request: StageRequest, processes: int = 1, program: str | None = None, **environment: str
    ) -> subprocess.Popen[str]:
        """The stage as a process of its own, or several through torchrun; FSDP2 comes on where it is asked for."""
        path = self.root / f"{request.digest}.json"
        path.write_text(request.model_dump_json())
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        launcher = torchrun if processes > 1 else []
        program = program or _program(request.section)
        command = [sys.executable, *launcher, "-m", program, request.stage, "--request", str(path)]
        return subprocess.Popen(
            [*command, "--artifacts", str(self.store.root), "--landing", str(self.root)],
            env=self.environment(**environment),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, stage: str, processes: int = 1, timeout: float = 300, **changes: Any) -> Manifest:
        """Run a stage to its end and keep its artifact for the stages after it."""
        request = self.request(stage, **changes)
        process = self.start(request, processes)
        try:
            output, _ = process.communicate(timeout=timeout)
        finally:
            process.kill()  # nothing, where it has ended
        assert process.returncode == 0, output
        return self.keep(request)

    def keep(self, request: StageRequest) -> Manifest:
        manifest = self.store.find(request)
        assert manifest is not None
        self.made[request.asset] = Input(name=request.asset, digest=manifest.digest, path=request.relative_path)
        return manifest

    def change(self, name: str, change: Callable[[Path], None]) -> None:
        """Put a changed copy of an artifact in its place."""
        manifest = self.store.read(self.folder(name))
        request = manifest.request.model_copy(update={"section": {name: change.__name__}})
        with self.store.workspace(request) as workspace:
            kept = shutil.ignore_patterns("manifest.json")
            shutil.copytree(self.folder(name), workspace.output, dirs_exist_ok=True, ignore=kept)
            change(workspace.output)
            files = workspace.records(workspace.output)
            update = {"request": request, "request_digest": request.digest, "files": files}
            manifest = manifest.model_copy(update=update)
            workspace.commit(manifest)
        self.made[name] = Input(name=name, digest=manifest.digest, path=request.relative_path)

    def folder(self, asset: str) -> Path:
        return self.store.root / self.made[asset].path

    def _commit(self, stage: str, details: Details, write: Any) -> None:
        request = StageRequest(stage=stage, stage_version=1, release="r1")
        with self.store.workspace(request) as workspace:
            write(workspace.output)
            files = workspace.records(workspace.output)
            manifest = Manifest(
                request=request, request_digest=request.digest, files=files, metrics={}, details=details
            )
            workspace.commit(manifest)
        self.made[stage] = Input(name=stage, digest=manifest.digest, path=request.relative_path)

    def _write_corpus(self, folder: Path) -> None:
        for split, count, seed in (("train", 120 * self.scale, 1), ("validation", 10, 2)):
            rows = [
                {"id": f"{split}-{i}", "text": text, "source": "", "licence": "", "url": "", "language": language}
                for i, (language, text) in enumerate(texts(count, seed))
            ]
            (folder / split).mkdir()
            data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
            (folder / split / "00000.jsonl.zst").write_bytes(zstandard.compress(data))

    def _write_instructions(self, folder: Path) -> None:
        rows = [
            {"id": str(i), "messages": conversation(i), "source": "", "licence": "", "task": ""}
            for i in range(80 * self.scale)
        ]
        _write(folder, rows)

    def _write_preferences(self, folder: Path) -> None:
        rows = []
        for number in range(64 * self.scale):
            question, answer = conversation(number)
            rude = {"role": "assistant", "content": f"몰라. {_THINGS[number % 5]}"}
            rows.append(
                {
                    "id": str(number),
                    "prompt": [question],
                    "chosen": [answer],
                    "rejected": [rude],
                    "source": "",
                    "task": "",
                }
            )
        _write(folder, rows)


def _program(section: dict[str, Any]) -> str:
    if section.get("context_parallel"):
        return "tests.support.ring_on_cpu"
    return "tests.support.fsdp_on_cpu" if section.get("shard_weights") else "trainers"


def _write_benchmarks(folder: Path) -> None:
    """What sort of thing each thing is: as a choice, and asked in words."""
    choices = sorted(set(_SORTS))
    choice = [
        {"id": f"c{at}", "question": f"{thing}의 종류:", "choices": choices, "answer": choices.index(sort)}
        for at, (thing, sort) in enumerate(zip(_THINGS, _SORTS, strict=True))
    ]
    answers = [
        {"id": f"a{at}", "messages": conversation(at)[:1], "answer": sort, "choices": choices, "task": "sort"}
        for at, sort in enumerate(_SORTS)
    ]
    write_suites(folder, {"sorts": ("multiple_choice", choice), "answers": ("instruction", answers)})


def _write(folder: Path, rows: list[dict[str, Any]]) -> None:
    for split, part in (("train", rows[8:]), ("validation", rows[:8])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in part))


def _set_details() -> DatasetDetails:
    return DatasetDetails(read=0, kept=0, train=0, validation=0)


def _corpus_details() -> CorpusDetails:
    return CorpusDetails(
        read=0, kept=0, train_documents=0, validation_documents=0, characters=0, bytes=0, words=0, excluded={}
    )
