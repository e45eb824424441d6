"""Images: Dockerfiles that install the pinned lock, run as nobody, and test their imports."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_IMAGES = _ROOT / "dagster_deploy" / "images"
_DOCKERFILES = sorted(_IMAGES.glob("*.Dockerfile"))


def _install_step(dockerfile: Path) -> str:
    (command,) = re.findall(r"^RUN python -m pip install (.+)$", dockerfile.read_text(), re.MULTILINE)
    return command


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


@pytest.mark.prove
def test_the_install_step_works_in_a_fresh_environment(tmp_path: Path):
    """The light image's step as it stands; the trainer's is that of `make setup`, with gigabytes of CUDA."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    step = _install_step(_IMAGES / "code-location.Dockerfile")
    subprocess.run(f"{python} -m pip install --quiet {step}", shell=True, cwd=_ROOT, check=True)
    imports = "import korean_llm_assets.definitions, korean_llm_assets.compute.cluster.compute"
    environment = {"KOREAN_LLM_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    subprocess.run([str(python), "-c", imports], cwd=tmp_path, env=environment, check=True)


@pytest.mark.parametrize("script", [_IMAGES / "build.sh", _ROOT / "dagster_deploy" / "label-nodes.sh"])
def test_scripts_are_shell(script: Path):
    subprocess.run(["sh", "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o111


def test_the_build_refuses_to_run_without_a_registry():
    done = subprocess.run([str(_IMAGES / "build.sh")], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode != 0 and "REGISTRY" in done.stderr
