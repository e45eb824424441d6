"""The wall between the two worlds: the linter refuses what must not be imported, and the code location stays light."""

import ast
import os
import re
import resource
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_ROOMS = {path.stem for path in (_ROOT / "trainers").iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}


def _banned(package: str) -> set[str]:
    settings = tomllib.loads((_ROOT / package / "ruff.toml").read_text())
    return set(settings["lint"]["flake8-tidy-imports"]["banned-api"])


_LIBRARIES = {name for name in _banned("korean_llm_assets") if "." not in name} - sys.stdlib_module_names
_HEAVY = _LIBRARIES | {"mlflow"}


def test_every_room_but_the_contract_is_banned() -> None:
    """A new room cannot be forgotten."""
    rooms = {name.removeprefix("trainers.") for name in _banned("korean_llm_assets") if name.startswith("trainers.")}
    assert rooms == _ROOMS - {"__init__", "contract"}


_ACROSS_FROM_THE_ASSETS = [
    "import trainers.training.loop",
    "from trainers import training",
    "from trainers import contract, training",
    "from trainers.training.loop import train",
    "import trainers\n{indent}trainers.training.loop.train()",
    "from trainers.torchrun import main",
    "import torch.nn",
]
_ACROSS_FROM_THE_TRAINERS = [
    "import dagster",
    "from dagster import asset",
    "import dagster._core.instance",
    "from dagster_k8s import K8sRunLauncher",
    "from korean_llm_assets.home import Home",
    "import korean_llm_assets",
]
_PLANTED = [
    *(("korean_llm_assets", statement) for statement in _ACROSS_FROM_THE_ASSETS),
    *(("trainers", statement) for statement in _ACROSS_FROM_THE_TRAINERS),
]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The rules of both packages, over packages that are otherwise empty."""
    shutil.copy(_ROOT / "pyproject.toml", tmp_path)
    for package in ("korean_llm_assets", "trainers"):
        (tmp_path / package / "room").mkdir(parents=True)
        shutil.copy(_ROOT / package / "ruff.toml", tmp_path / package)
    return tmp_path


def _refusals(module: Path, text: str) -> str:
    module.write_text(text)
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251", str(module)]
    done = subprocess.run(ruff, capture_output=True, text=True, cwd=module.parents[2])
    assert done.returncode in (0, 1), done.stderr
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize(("package", "statement"), _PLANTED, ids=lambda value: value.splitlines()[0])
def test_a_forbidden_import_is_refused_at_the_top_and_inside_a_function(house, package, statement) -> None:
    module = house / package / "room" / "planted.py"
    assert "TID251" in _refusals(module, statement.format(indent="") + "\n")
    assert "TID251" in _refusals(module, f"def inside():\n    {statement.format(indent='    ')}\n")


@pytest.mark.parametrize(
    ("package", "statement"),
    [
        ("korean_llm_assets", "from trainers.contract.recipe.loading import load"),
        ("korean_llm_assets", "import dagster"),
        ("trainers", "import dagster_pipes"),
        ("trainers", "from trainers.training.loop import train"),
    ],
)
def test_what_is_allowed_is_not_refused(house, package, statement) -> None:
    assert not _refusals(house / package / "room" / "planted.py", f"{statement}\n")


def _imports_by_name(text: str) -> list[str]:
    """What each module begins with that is imported by a computed name, which the linter does not see."""
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    names = (call.args[0] for call in calls if ast.unparse(call.func).split(".")[-1] in ("import_module", "__import__"))
    parts = (name.values[0] if isinstance(name, ast.JoinedStr) else name for name in names)
    return [str(part.value) if isinstance(part, ast.Constant) else "" for part in parts]


def test_an_import_by_name_stays_in_its_package() -> None:
    planted = "def inside(room):\n    importlib.import_module(f'trainers.{room}')\n    import_module(room)\n"
    assert _imports_by_name(planted) == ["trainers.", ""]
    begins = {
        name for path in (_ROOT / "korean_llm_assets").rglob("*.py") for name in _imports_by_name(path.read_text())
    }
    assert all(name.startswith("korean_llm_assets.") for name in begins), begins


@pytest.mark.parametrize(("world", "foreign"), [("korean_llm_assets", "trainers"), ("trainers", "korean_llm_assets")])
def test_tests_of_both_worlds_lie_in_joined(world: str, foreign: str) -> None:
    foreigners = {
        f"{path.relative_to(_ROOT)}: {line}"
        for path in (_ROOT / "tests" / world).rglob("*.py")
        for line in re.findall(rf"^(?:from|import) {foreign}\b.*$", path.read_text(), re.MULTILINE)
        if "trainers.contract" not in line
    }
    assert not foreigners


def test_loading_the_code_location_takes_under_five_seconds_and_no_torch(tmp_path: Path) -> None:
    code = f"import sys, korean_llm_assets.definitions; print(sorted({_HEAVY} & set(sys.modules)))"
    environment = {**os.environ, "KOREAN_LLM_HOME": str(tmp_path)}
    seconds = []
    for _ in range(2):  # the first one compiles
        before = _child_seconds()
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        seconds.append(_child_seconds() - before)
    assert done.stdout.strip() == "[]"
    assert min(seconds) < 5, seconds


def _child_seconds() -> float:
    """Processor time of ended child processes: what loading takes where nothing else works."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_stage_can_be_asked_for_help_without_dagster_or_torch() -> None:
    code = (
        "import sys, trainers.runner.stage, trainers.__main__; print(sorted({'dagster', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
