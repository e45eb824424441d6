"""The code's commit: of a checkout with and without changes, and of an image that has no git."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from trainers.contract import settings
from trainers.contract.commit import code_commit


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    (tmp_path / "code.py").write_text("1\n")
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def test_a_checkout_names_its_commit_and_says_where_files_differ_from_it(checkout, monkeypatch):
    monkeypatch.setenv(settings.COMMIT.name, "of an image")
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True)
    assert code_commit(checkout) == head.stdout.strip()
    (checkout / "code.py").write_text("2\n")
    code_commit.cache_clear()
    assert code_commit(checkout) == f"{head.stdout.strip()}-dirty"


def test_an_image_without_git_or_inside_of_anothers_checkout_says_what_its_build_told_it(checkout, monkeypatch):
    packages = checkout / "site-packages"
    packages.mkdir()
    code_commit.cache_clear()
    assert code_commit(packages) is None, "another's checkout"
    monkeypatch.setenv(settings.COMMIT.name, "c0ffee")
    code_commit.cache_clear()
    assert code_commit(packages) == "c0ffee"
    monkeypatch.setenv("PATH", "")
    code_commit.cache_clear()
    assert code_commit(checkout) == "c0ffee", "no git in the image"


def test_each_image_tells_its_commit_under_the_name_that_is_read():
    for image in (ROOT / "dagster_deploy" / "images").glob("*.Dockerfile"):
        text = image.read_text(encoding="utf-8")
        assert "\nARG GIT_SHA\n" in text and f"\nENV {settings.COMMIT.name}=$GIT_SHA\n" in text, image.name
    build = (ROOT / "dagster_deploy" / "images" / "build.sh").read_text(encoding="utf-8")
    assert re.search(r'--build-arg "GIT_SHA=\$\(git rev-parse HEAD\)"', build)
