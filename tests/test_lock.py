"""The lock: what is installed is what is pinned, for everything this project asks for."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = {
    canonicalize_name(requirement.name): str(requirement.specifier).removeprefix("==")
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
    for requirement in [Requirement(line)]
}
ASKED = [
    Requirement(text)
    for texts in (PROJECT["dependencies"], *(PROJECT["optional-dependencies"][name] for name in ("trainer", "dev")))
    for text in texts
]


@pytest.mark.parametrize("requirement", ASKED, ids=lambda requirement: requirement.name)
def test_installed_is_locked(requirement):
    locked = LOCK[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(locked), f"pyproject.toml and requirements.lock disagree on {requirement}"
    assert metadata.version(requirement.name).split("+")[0] == locked


def test_inside_unsloths_range():
    """unsloth 2026.10.7 asks for trl<=1.15.0, transformers<=5.17.0, datasets<5; the lock serves both worlds."""
    for text in ("trl<=1.15.0", "transformers<=5.17.0", "datasets<5"):
        wanted = Requirement(text)
        assert wanted.specifier.contains(LOCK[wanted.name])


def test_no_torchvision_beside_the_cpu_torch():
    assert "torchvision" not in LOCK
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("torchvision")


def test_the_lock_names_no_place():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text and " @ " not in text
