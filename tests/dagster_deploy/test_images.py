"""Images: Dockerfiles that install the pinned lock, run as nobody, and test their imports."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_IMAGES = _ROOT / "dagster_deploy" / "images"
_DOCKERFILES = sorted(_IMAGES.glob("*.Dockerfile"))


def _install_step(dockerfile: Path) -> str:
    (command,) = re.findall(r"^RUN (python -m pip install (?:.+\\\n)*.+)$", dockerfile.read_text(), re.MULTILINE)
    return command.replace("\\\n", " ")


def _extras(dockerfile: Path) -> list[str]:
    (extras,) = re.findall(r"'\.\[(\S+)\]'", _install_step(dockerfile))
    return extras.split(",")


def _copied(dockerfile: Path) -> list[str]:
    """What it copies out of this repository."""
    sources = re.findall(r"^COPY (.+) \S+$", dockerfile.read_text(), re.MULTILINE)
    return [path for source in sources for path in source.split()]


@pytest.mark.parametrize("dockerfile", _DOCKERFILES, ids=lambda path: path.stem)
def test_rules(dockerfile: Path):
    text = dockerfile.read_text()
    assert "requirements.lock" in _install_step(dockerfile)
    users = re.findall(r"^USER (.+)$", text, re.MULTILINE)
    assert users and users[-1] == "1000:1000"
    base = re.findall(r"^ARG BASE=(\S+)$", text, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)$", text, re.MULTILINE) == ["${BASE}"], "a base of yours by --build-arg"
    assert all(":" in image and not image.endswith(":latest") for image in base)
    assert re.search(r"^RUN .*python -c \"import ", text, re.MULTILINE), "imports are tested while it is built"
    assert "git+" not in text and "ADD http" not in text
    for path in _copied(dockerfile):
        assert (_ROOT / path).exists(), f"{dockerfile.name} copies {path}"


def _resolved(*arguments: str) -> str:
    """A lock's text. Asks the registry for metadata only."""
    command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--no-config", "--quiet", "pyproject.toml"]
    done = subprocess.run([*command, *arguments], cwd=_ROOT, capture_output=True, text=True)
    if "Failed to fetch" in done.stderr or "error sending request" in done.stderr:
        pytest.skip("no package registry is reached: uv pip compile pyproject.toml ...")
    assert done.returncode == 0, done.stderr
    return done.stdout


def _versions(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)(?:\[.+\])?==(\S+)", text, re.MULTILINE))


@pytest.mark.slow
def test_the_light_image_holds_one_world():
    assert _extras(_IMAGES / "code-location.Dockerfile") == ["assets"]
    packages = _versions(
        _resolved(
            *("--extra", "assets", "--constraint", "requirements.lock", "--no-header", "--no-annotate"),
            *("--python-platform", "linux", "--python-version", "3.12"),
        )
    )
    assert {"pydantic", "dagster"} <= packages.keys()
    assert not {"torch", "transformers", "trl"} & packages.keys()
    assert not {"mlflow", "pandas", "scipy", "matplotlib"} & packages.keys(), "of MLflow only the client"


@pytest.mark.slow
def test_the_gpu_lock_is_what_its_platform_resolves_to():
    """torch's CUDA build, triton, Unsloth and what they ask for, on Linux x86-64 and Python 3.12, nothing left open."""
    resolved = _versions(
        _resolved(
            *("--extra", "trainer", "--extra", "gpu", "--extra", "llama-cpp", "--extra", "ray"),
            *("--constraint", "requirements-gpu.lock"),
            *("--python-platform", "x86_64-manylinux_2_39", "--python-version", "3.12"),
            *("--no-emit-package", "xformers"),
        )
    )
    assert resolved == _versions((_ROOT / "requirements-gpu.lock").read_text())


def test_the_gpu_lock_is_one_world_with_hashes_and_the_versions_that_are_tested():
    text, tested = (_ROOT / "requirements-gpu.lock").read_text(), _versions((_ROOT / "requirements.lock").read_text())
    packages = _versions(text)
    assert {"torch", "triton", "unsloth", "nvidia-nccl-cu13", "bitsandbytes", "dagster-pipes"} <= packages.keys()
    assert not {"dagster", "dagster-webserver", "dagster-k8s", "dagster-postgres"} & packages.keys()
    of_another_cuda = {name for name in packages if name == "xformers" or name.endswith(("-cu11", "-cu12"))}
    assert not of_another_cuda, "xformers' wheels are linked with CUDA 12 and do not load beside torch's 13"
    blocks = re.split(r"^(?=[\w.-]+(?:\[.+\])?==)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks) and len(blocks) == len(packages)
    assert {name: version for name, version in packages.items() if tested.get(name, version) != version} == {}


def test_an_image_copies_one_world():
    for image, foreign in (("trainer", "korean_llm_assets"), ("code-location", "tests")):
        allowed = (_IMAGES / f"{image}.Dockerfile.dockerignore").read_text()
        assert foreign not in (_IMAGES / f"{image}.Dockerfile").read_text() + allowed


@pytest.mark.prove
def test_the_install_step_works_in_a_fresh_environment(tmp_path: Path):
    """The light image's step as it stands, and no hash but the lock's; the trainer's brings gigabytes of CUDA.

    In a copy: the step removes the sources that it installed.
    """
    context = tmp_path / "context"
    context.mkdir()
    for name in _copied(_IMAGES / "code-location.Dockerfile"):
        copy = shutil.copytree if (_ROOT / name).is_dir() else shutil.copy
        copy(_ROOT / name, context / name)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    environment = {**os.environ, "PATH": f"{tmp_path / 'venv' / 'bin'}:/usr/bin:/bin"}
    environment.pop("PYTHONPATH", None)
    step = _install_step(_IMAGES / "code-location.Dockerfile")
    subprocess.run(step, shell=True, cwd=context, env=environment, check=True)
    imports = "import korean_llm_assets.definitions, korean_llm_assets.compute.cluster.compute"
    environment["KOREAN_LLM_HOME"] = str(tmp_path / "home")
    subprocess.run(["python", "-c", imports], cwd=tmp_path, env=environment, check=True)


@pytest.mark.parametrize(
    "script",
    [_IMAGES / "build.sh", *(_ROOT / "dagster_deploy" / name for name in ("label-nodes.sh", "kind/up", "operate"))],
)
def test_scripts_are_shell(script: Path):
    subprocess.run(["sh", "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o111


def test_the_build_refuses_to_run_without_a_registry():
    done = subprocess.run([str(_IMAGES / "build.sh")], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode != 0 and "REGISTRY" in done.stderr
