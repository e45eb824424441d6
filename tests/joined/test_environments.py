"""Each world alone, in a fresh environment made from the lock: without the other's libraries its tests pass."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PYPROJECT = (_ROOT / "pyproject.toml").read_text()


def _environment(folder: Path, extras: str, *before: str) -> tuple[Path, dict[str, str]]:
    """A virtual environment of these extras, as the lock pins and hashes them; `before` is installed first, by pip."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    if before:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *before], check=True)
    install = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*install, "--constraint", "requirements.lock", "--editable", f".[{extras}]"], cwd=_ROOT, check=True)
    alone = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return python, alone | {"PATH": f"{folder / 'bin'}:/usr/bin:/bin"}


def _run(python: Path, environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run([str(python), *arguments], cwd=_ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


def _absent(*modules: str) -> list[str]:
    return ["-c", f"import importlib.util as u; assert not [name for name in {modules!r} if u.find_spec(name)]"]


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_the_trainers_pass_their_tests_without_dagster(tmp_path: Path) -> None:
    (torch,) = re.findall(r'^  "(torch==[^"]+)",', _PYPROJECT, re.MULTILINE)
    python, environment = _environment(tmp_path / "venv", "trainer,test", torch)
    _run(python, environment, *_absent("dagster", "dagster_k8s", "dagster_webserver"))
    _run(python, environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not prove", "tests/trainers")


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_the_assets_load_and_pass_their_tests_without_torch(tmp_path: Path) -> None:
    python, environment = _environment(tmp_path / "venv", "assets,test")
    _run(python, environment, *_absent("torch", "transformers", "datasets", "numba"))
    elsewhere = environment | {"KOREAN_LLM_HOME": str(tmp_path / "home")}
    _run(python, elsewhere, "-c", "import korean_llm_assets.definitions")
    quick = ("-m", "not slow and not prove")
    _run(python, environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", *quick, "tests/korean_llm_assets")
