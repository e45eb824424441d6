"""A landed release on the disk, and running a data stage over it as the launcher would."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import zstandard

from tests.support.plugins import digests_of
from trainers.contract import STAGES, Input, Manifest, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.digests import tree_digest
from trainers.runner.stage import run_stage


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read_jsonl(path: Path) -> list[Any]:
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(data).read()
    return [json.loads(line) for line in data.splitlines()]


def data_request(stage: str, landing: Path, release: str = "r1", inherited_from: str | None = None, **section: Any):
    folder = landing / release / stage
    folder.mkdir(parents=True, exist_ok=True)
    landed = Input(
        name="landing",
        root="landing",
        path=f"{release}/{stage}",
        digest=tree_digest(folder),
        inherited_from=inherited_from,
    )
    version = STAGES[stage].version
    return StageRequest(
        stage=stage,
        stage_version=version,
        release=release,
        section=section,
        plugins=digests_of(stage, section),
        inputs=(landed,),
    )


def run_data_stage(stage: str, home: Path, **settings: Any) -> tuple[Manifest, Path]:
    """Run a stage over `home/landing`; the manifest and the artifact's folder."""
    store = ArtifactStore(home / "artifacts")
    request = data_request(stage, home / "landing", **settings)
    before = signal.getsignal(signal.SIGTERM)
    try:
        return run_stage(request, store, home / "landing"), store.folder(request)
    finally:
        signal.signal(signal.SIGTERM, before)


def start_data_stage(request: StageRequest, home: Path, artifacts: str, first: str = "pass") -> "subprocess.Popen[str]":
    """The stage over `home/landing` as a process of its own, what it says to be read.

    Args:
        artifacts: folder of `home`.
        first: code that it runs before anything else.
    """
    path = home / f"{artifacts}.json"
    path.write_text(request.model_dump_json())
    where = ["--request", path, "--artifacts", home / artifacts, "--landing", home / "landing"]
    run = f"{first}; import sys; from trainers.__main__ import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", run, request.stage, *map(str, where)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
