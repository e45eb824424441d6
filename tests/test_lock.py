"""The lock: pinned, with the registry's hashes, for all this project asks for, on every Python; and it is installed."""

import platform
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parent.parent
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
_TEXT = (_ROOT / "requirements.lock").read_text()
# What no publisher offers a wheel of: pure Python, built from hashed sources.
_SOURCES_ONLY = ("distance", "kss", "pecab", "rouge-score", "sqlitedict", "tossi", "word2number")


@dataclass(frozen=True)
class Pin:
    """One entry of a lock."""

    name: str
    version: str
    marker: Marker | None
    hashes: frozenset[str]

    def applies(self, python: str) -> bool:
        """Whether this Python on Linux installs it."""
        environment = {**default_environment(), "python_full_version": python, "python_version": python[:4]}
        return self.marker is None or self.marker.evaluate(environment)


def _pins(text: str) -> list[Pin]:
    entries = re.findall(r"^([\w.-]+)==([^\s;]+)(?: ; (.+?))?((?: \\\n +--hash=\S+)*)$", text, flags=re.MULTILINE)
    return [
        Pin(
            canonicalize_name(name),
            version,
            Marker(marker) if marker else None,
            frozenset(re.findall(r"--hash=(\S+)", hashes)),
        )
        for name, version, marker, hashes in entries
    ]


_LOCK = _pins(_TEXT)
_HERE = {pin.name: pin.version for pin in _LOCK if pin.applies(platform.python_version())}
_REQUIREMENTS = [
    Requirement(text)
    for extra, texts in (("", _PROJECT["dependencies"]), *_PROJECT["optional-dependencies"].items())
    if extra not in ("gpu", "ray")
    for text in texts
    if not text.startswith(_PROJECT["name"])
]


@pytest.mark.parametrize("requirement", sorted({*_REQUIREMENTS}, key=str), ids=str)
def test_installed_is_locked(requirement):
    if requirement.name == "torch":  # before the lock, by its pin; CPU builds have a suffix
        locked = str(requirement.specifier).removeprefix("==")
    else:
        locked = _HERE[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(locked), f"pyproject.toml and requirements.lock disagree on {requirement}"
    assert metadata.version(requirement.name).split("+")[0] == locked


def test_every_entry_has_hashes():
    assert len(_LOCK) == len(re.findall(r"^[\w.-]+(?:\[|=)", _TEXT, flags=re.MULTILINE)) > 200
    assert all(pin.hashes for pin in _LOCK)


def test_every_pin_that_applies_here_is_installed():
    installed = {canonicalize_name(one.metadata["Name"]): one.version for one in metadata.distributions()}
    assert {name: installed.get(name) for name in _HERE} == _HERE


def _compile(*options: str) -> list[Pin]:
    """What a resolver finds for everything, asking the registry for metadata only; skips where none is reached."""
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "compile", "pyproject.toml", "--extra", "dev", "--extra", "bench"]
    command += ["--quiet", "--no-header", "--no-annotate", "--generate-hashes", "--no-emit-package", "torch", *options]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    if "Failed to fetch" in done.stderr or "error sending request" in done.stderr:
        pytest.skip(f"no package registry is reached: {' '.join(command[1:6])} ...")
    assert done.returncode == 0, done.stderr
    return _pins(done.stdout)


@pytest.mark.slow
def test_the_hashes_are_the_registrys(tmp_path):
    """Resolved anew as `make lock` does, given the pins alone. A publisher may have added files since: more is well."""
    pins = tmp_path / "pins.txt"
    pins.write_text("\n".join(re.findall(r"^[\w.-]+==[^\\\n]+", _TEXT, flags=re.MULTILINE)))
    registry = {
        (pin.name, pin.version, str(pin.marker)): pin.hashes
        for pin in _compile("--universal", "--python-version", "3.11.2", "--constraint", str(pins))
    }
    locked = {(pin.name, pin.version, str(pin.marker)): pin.hashes for pin in _LOCK}
    assert registry.keys() == locked.keys()
    assert {pin: strange for pin, hashes in locked.items() if (strange := hashes - registry[pin])} == {}


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11.2", "3.11.14", "3.12.0", "3.13.0"])
def test_the_lock_is_what_a_resolver_finds_under_it_on_every_python(python):
    """Nothing is missing, nothing is left over, and each package has a wheel for it."""
    sources = (word for name in _SOURCES_ONLY for word in ("--no-binary", name))
    system = ("--python-version", python, "--python-platform", "linux")
    pins = _compile("--constraint", "requirements.lock", *system, "--only-binary", ":all:", *sources)
    resolved = {pin.name: pin.version for pin in pins}
    assert resolved == {pin.name: pin.version for pin in _LOCK if pin.applies(python)}


def test_inside_unsloths_range():
    """unsloth 2026.10.7 asks for trl<=1.15.0, transformers<=5.17.0, datasets<5; the lock serves both worlds."""
    for text in ("trl<=1.15.0", "transformers<=5.17.0", "datasets<5"):
        wanted = Requirement(text)
        assert wanted.specifier.contains(_HERE[wanted.name])


def test_both_builds_of_torch_are_accepted():
    """Neither torch nor what only one of its builds asks for."""
    build_of_one = [pin.name for pin in _LOCK if re.match("torch|triton|nvidia-|cuda-", pin.name)]
    assert not build_of_one
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("torchvision")


def test_the_lock_names_no_place():
    assert "://" not in _TEXT and " @ " not in _TEXT
