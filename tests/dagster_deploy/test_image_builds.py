"""Both images really built, by buildah, on a base that KOREAN_LLM_BASE_IMAGE names, and run as Jobs and pods run them.

The base has Debian's or Ubuntu's python3 and apt, and reaches the package registries; it is in buildah's own storage
(vfs). Nothing is pulled. The trainer is built with whichever torch the registry gives (TORCH=any): CUDA's is gigabytes.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from korean_llm_assets.compute.local import LocalCompute
from korean_llm_assets.compute.pool import LocalPool
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.keys import cell_key
from tests.conftest import ROOT
from tests.korean_llm_assets.conftest import PlatformUnderTest, define
from tests.support.served import IN_FEW_STEPS, own_recipes
from trainers.contract import STAGES, Manifest, settings
from trainers.contract.artifacts import ArtifactStore

pytestmark = [pytest.mark.prove, pytest.mark.timeout(3600)]
_LIGHTEST = 500 * 2**20
"""Bytes of the code location's packages at most."""


def _buildah(*words: str) -> str:
    environment = {**os.environ, "STORAGE_DRIVER": "vfs"}
    done = subprocess.run(["buildah", *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip()


def _built(image: str, *arguments: str) -> Iterator[Path]:
    base = settings.BASE_IMAGE.get()
    if base is None or shutil.which("buildah") is None:
        pytest.skip(f"set {settings.BASE_IMAGE.name} to a base image in buildah's storage (apt-get install buildah)")
    dockerfile = f"dagster_deploy/images/{image}.Dockerfile"
    tag = f"localhost/korean-llm-{image}:test"
    command = ["bud", "--isolation", "chroot", "--pull-never", "--ignorefile", f"{dockerfile}.dockerignore"]
    _buildah(*command, "--build-arg", f"BASE={base}", *arguments, "--file", dockerfile, "--tag", tag, ".")
    container = _buildah("from", "--pull-never", tag)
    yield Path(_buildah("mount", container))
    _buildah("rm", container)


@pytest.fixture(scope="module")
def code_location() -> Iterator[Path]:
    """The root of the light image."""
    yield from _built("code-location")


@pytest.fixture(scope="module")
def trainer() -> Iterator[Path]:
    """The root of the trainer image."""
    yield from _built("trainer", "--build-arg", "TORCH=any", "--build-arg", "PYTHON=python3")


_ENTER = """
root=$1 store=$2; shift 2
mount --bind "$root" "$root"; mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"; mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root$store"; mount --bind "$store" "$root$store"
export PATH=/opt/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8; unset PYTHONPATH
exec chroot --userspec=1000:1000 "$root" "$@"
"""


def _entering(root: Path, store: Path, *flags: str) -> tuple[str, ...]:
    """What runs the words behind it as user 1000 in an image; its root is read-only but for /tmp and the store."""
    return ("unshare", "--mount", *flags, "sh", "-ec", _ENTER, "sh", str(root), str(store))


def _inside(root: Path, store: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script there, with all that it starts."""
    command = [*_entering(root, store, "--pid", "--fork", "--kill-child"), "sh", "-ec", script]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=1200)


def test_the_code_location_serves_as_nobody_on_a_read_only_root(code_location: Path, tmp_path: Path):
    tmp_path.chmod(0o777)
    script = (
        "cd /tmp; dagster code-server start -h 127.0.0.1 -p 3030 -m korean_llm_assets.definitions >/tmp/log 2>&1 & "
        "for try in $(seq 60); do dagster api grpc-health-check -p 3030 && exit 0; sleep 2; done; cat /tmp/log; exit 1"
    )
    done = _inside(code_location, tmp_path, script, KOREAN_LLM_HOME=f"{tmp_path}/home")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_code_location_writes_the_sample_and_holds_no_torch(code_location: Path, tmp_path: Path):
    tmp_path.chmod(0o777)
    done = _inside(code_location, tmp_path, f"cd /tmp; python -m trainers.sample {tmp_path}/landing --name sample")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "landing" / "sample" / "_READY").exists()
    assert (tmp_path / "landing").stat().st_uid == 1000
    assert not list(code_location.glob("opt/venv/lib/python3*/site-packages/torch"))
    assert not list(code_location.glob("opt/korean-llm/*assets*")), "no second copy of the sources"


def test_the_light_image_is_light(code_location: Path):
    files = (path for path in (code_location / "opt" / "venv").rglob("*") if path.is_file() and not path.is_symlink())
    size = sum(path.stat().st_size for path in files)
    print(f"code location: {size / 2**20:.0f} MiB of packages")
    assert size < _LIGHTEST


def test_every_stage_of_a_model_runs_as_nobody_on_a_read_only_root(
    trainer: Path, home: Home, monkeypatch: pytest.MonkeyPatch
):
    """`tiny` in a few steps, from the sample to the exported model: each stage a process in the image."""
    before = os.umask(0)  # what is made here as root is written to there by user 1000
    try:
        for folder in (home.root, *(path for path in home.root.rglob("*") if path.is_dir())):
            folder.chmod(0o777)
        monkeypatch.setenv(settings.RECIPES.name, str(own_recipes(home, tiny=IN_FEW_STEPS)))
        sample = [sys.executable, "-m", "trainers.sample", str(home.landing), "--name", "sample"]
        subprocess.run(sample, check=True)
        compute = LocalCompute(
            ArtifactStore(home.artifacts),
            home.landing,
            LocalPool.of_this_machine(home.root / "pool"),
            {"MLFLOW_TRACKING_URI": "", settings.HOME.name: str(home.root)},
            home.prepare_tracking,
            (*_entering(trainer, home.root), "python", "-m", "trainers"),
        )
        with DagsterInstance.get() as instance:
            instance.add_dynamic_partitions("release", ["sample"])
            platform = PlatformUnderTest(home, instance, define(compute=compute))
            for job, key in (("data", "sample"), ("base", "tiny"), ("training", cell_key("tiny", "sample"))):
                assert platform.run(job, key).success, job
    finally:
        os.umask(before)
    made = {manifest.request.stage: place for place, manifest in _manifests(home)}
    assert made.keys() == STAGES.keys()
    assert {path.stat().st_uid for path in made.values()} == {1000}
    size = sum(path.stat().st_size for path in (trainer / "opt" / "venv").rglob("*") if path.is_file())
    print(f"trainer: {size / 2**20:.0f} MiB of packages")


def _manifests(home: Home) -> list[tuple[Path, Manifest]]:
    paths = home.artifacts.rglob("manifest.json")
    return [(path, Manifest.model_validate_json(path.read_text(encoding="utf-8"))) for path in paths]
