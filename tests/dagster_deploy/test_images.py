"""Images: Dockerfiles that install the pinned lock, run as nobody, and test their imports."""

import os
import re
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


@pytest.mark.parametrize("dockerfile", _DOCKERFILES, ids=lambda path: path.stem)
def test_rules(dockerfile: Path):
    text = dockerfile.read_text()
    assert "--constraint requirements.lock" in _install_step(dockerfile)
    users = re.findall(r"^USER (.+)$", text, re.MULTILINE)
    assert users and users[-1] == "1000:1000"
    base = re.findall(r"^FROM (\S+)$", text, re.MULTILINE)
    assert all(":" in image and not image.endswith(":latest") for image in base)
    assert re.search(r"^RUN .*python -c \"import ", text, re.MULTILINE), "imports are tested while it is built"
    assert "git+" not in text and "ADD http" not in text
    for source in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for path in source.split():
            assert (_ROOT / path).exists() or path == "README.md", f"{dockerfile.name} copies {path}"


@pytest.mark.parametrize(
    ("image", "extras", "foreign"),
    [
        ("code-location", ["assets"], {"torch", "transformers", "trl"}),
        ("trainer", ["trainer", "gpu"], {"dagster", "dagster-webserver", "dagster-k8s", "dagster-postgres"}),
    ],
)
@pytest.mark.slow
def test_an_image_holds_one_world(image: str, extras: list[str], foreign: set[str]):
    """What the install step would install, resolved for the image's platform. Asks the registry for metadata."""
    assert _extras(_IMAGES / f"{image}.Dockerfile") == extras
    command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--no-config", "--quiet", "pyproject.toml"]
    command += ["--no-header", "--no-annotate", "--constraint", "requirements.lock"]
    command += ["--python-platform", "linux", "--python-version", "3.11" if image == "code-location" else "3.12"]
    command += [word for extra in extras for word in ("--extra", extra)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    if "Failed to fetch" in done.stderr or "error sending request" in done.stderr:
        pytest.skip("no package registry is reached: uv pip compile pyproject.toml ...")
    assert done.returncode == 0, done.stderr
    packages = set(re.findall(r"^([\w.-]+)(?:\[.+\])?==", done.stdout, re.MULTILINE))
    assert {"pydantic", "dagster-pipes"} <= packages
    assert not foreign & packages


def test_an_image_copies_one_world():
    for image, foreign in (("trainer", "korean_llm_assets"), ("code-location", "tests")):
        allowed = (_IMAGES / f"{image}.Dockerfile.dockerignore").read_text()
        assert foreign not in (_IMAGES / f"{image}.Dockerfile").read_text() + allowed


@pytest.mark.prove
def test_the_install_step_works_in_a_fresh_environment(tmp_path: Path):
    """The light image's step as it stands, and no hash but the lock's; the trainer's brings gigabytes of CUDA."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    environment = {**os.environ, "PATH": f"{tmp_path / 'venv' / 'bin'}:/usr/bin:/bin"}
    environment.pop("PYTHONPATH", None)
    step = _install_step(_IMAGES / "code-location.Dockerfile")
    subprocess.run(step, shell=True, cwd=_ROOT, env=environment, check=True)
    imports = "import korean_llm_assets.definitions, korean_llm_assets.compute.cluster.compute"
    environment["KOREAN_LLM_HOME"] = str(tmp_path / "home")
    subprocess.run(["python", "-c", imports], cwd=tmp_path, env=environment, check=True)


@pytest.mark.parametrize("script", [_IMAGES / "build.sh", _ROOT / "dagster_deploy" / "label-nodes.sh"])
def test_scripts_are_shell(script: Path):
    subprocess.run(["sh", "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o111


def test_the_build_refuses_to_run_without_a_registry():
    done = subprocess.run([str(_IMAGES / "build.sh")], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode != 0 and "REGISTRY" in done.stderr
