"""Dependencies follow the walls: each world declares what it imports, and what it declares is imported or said why."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parent.parent
_TEXT = (_ROOT / "pyproject.toml").read_text()
_PROJECT = tomllib.loads(_TEXT)["project"]
_EXTRAS = _PROJECT["optional-dependencies"]
_OWN = {"dagster_deploy", "korean_llm_assets", "tests", "trainers"}


def _names(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


_BASE = _names(_PROJECT["dependencies"])
_DECLARED = {extra: _names(requirements) for extra, requirements in _EXTRAS.items()}


def _with_reason(extra: str) -> set[str]:
    """The packages of an extra (or of the base) behind which stands who loads them."""
    key = "dependencies" if extra == "base" else extra
    (block,) = re.findall(rf"^{re.escape(key)} = \[\n(.*?)^\]", _TEXT, flags=re.MULTILINE | re.DOTALL)
    return _names(re.findall(r'^  "([^"]+)",  # \S', block, flags=re.MULTILINE))


def _distributions(*folders: str) -> dict[str, set[str]]:
    """Third-party modules imported below these folders, at the top or inside a function: name -> its distributions."""
    modules = {name for folder in folders for path in (_ROOT / folder).rglob("*.py") for name in _imports(path)}
    third_party = modules - set(sys.stdlib_module_names) - _OWN
    installed = metadata.packages_distributions()
    return {name: {canonicalize_name(each) for each in installed.get(name, [name])} for name in third_party}


def _imports(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return {module.split(".")[0] for module in modules}


_WORLDS = {
    # What both worlds declare, the contract may import: a base of four packages and Parquet where it is read.
    "contract": (["trainers/contract"], _BASE | _DECLARED["assets"] & _DECLARED["trainer"]),
    "assets": (["korean_llm_assets"], _BASE | _DECLARED["assets"]),
    "trainers": (
        ["trainers"],
        _BASE.union(
            *(_DECLARED[extra] for extra in ("trainer", "gpu", "language-model", "llama-cpp", "name-model", "ray"))
        ),
    ),
    "tests": (["tests"], _BASE.union(*(names for extra, names in _DECLARED.items() if extra != "gpu"))),
}


@pytest.mark.parametrize("world", _WORLDS)
def test_every_import_is_declared_where_its_world_declares(world):
    folders, declared = _WORLDS[world]
    undeclared = {module for module, names in _distributions(*folders).items() if not names & declared}
    assert not undeclared, f"{folders[0]} imports {undeclared}, which pyproject.toml does not declare for {world}"


@pytest.mark.parametrize(
    ("extra", "folders"),
    [
        ("base", ["trainers/contract"]),
        ("assets", ["korean_llm_assets", "trainers/contract"]),
        ("trainer", ["trainers"]),
        ("test", ["tests"]),
        ("bench", ["tests/bench"]),
    ],
)
def test_every_declared_package_is_imported_or_says_who_loads_it(extra, folders):
    imported = set().union(*_distributions(*folders).values())
    declared = _BASE if extra == "base" else _DECLARED[extra]
    idle = declared - imported - _with_reason(extra)
    assert not idle, f"nothing in {folders[0]} imports {idle}: remove it from {extra}, or say behind it who loads it"
    assert not declared & imported & _with_reason(extra), "what is imported needs no reason"


def test_the_walls():
    dagster = {name for name in _DECLARED["assets"] if name.startswith("dagster")} - {"dagster-pipes"}
    assert not dagster & (_BASE | _DECLARED["trainer"] | _DECLARED["test"])
    assert "torch" not in _BASE | _DECLARED["assets"] | _DECLARED["test"]
    (everything,) = (Requirement(text) for text in _EXTRAS["dev"] if text.startswith(_PROJECT["name"]))
    assert everything.extras == {"assets", "trainer", "language-model", "llama-cpp", "name-model", "ray", "test"}
