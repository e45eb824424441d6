"""The first hour of korean_llm_assets/README.md: each of its commands is run, each picture retaken, each figure held.

`KOREAN_LLM_PICTURES=1` writes the pictures into the documents; else they go to a folder of the test.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from korean_llm_assets.home import Home
from tests.support.pictures import MOST_BYTES, open_page, take
from tests.support.served import ROOT, Served, served, wait_until
from trainers.contract import settings

PAGE = ROOT / "korean_llm_assets" / "README.md"
SECTION = re.compile(r"^## A first hour$(.*?)^## ", re.M | re.S)
RELEASE = "2026-12"

pytestmark = [pytest.mark.prove, pytest.mark.browser, pytest.mark.timeout(5400)]


def section() -> str:
    (text,) = SECTION.findall(PAGE.read_text(encoding="utf-8"))
    return str(text)


def commands() -> list[str]:
    """The lines of the section's blocks of commands, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", section(), re.M | re.S)
    return [line.split(" #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def pictures() -> set[str]:
    return set(re.findall(r"!\[[^\]]+\]\((pictures/[\w-]+\.png)\)", section()))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("first-hour") / "var")


@pytest.fixture(scope="module")
def environment(home: Home) -> dict[str, str]:
    environment = {**os.environ, settings.HOME.name: str(home.root), "KOREAN_LLM_MODELS": "tiny"}
    environment.pop("OMP_NUM_THREADS", None)
    return environment


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go."""
    return PAGE.parent if settings.PICTURES.get() else tmp_path_factory.mktemp("pictures")


def run(line: str, environment: dict[str, str], home: Home) -> str:
    """A line as a shell would run it in the repository, but on this state."""
    words = shlex.split(line.replace("var/", f"{home.root}/"))
    words = {"make": ["-m", "korean_llm_assets", *words[1:]], "python": words[1:]}[words[0]]
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{line}\n{(done.stdout + done.stderr)[-4000:]}"
    return done.stdout


@contextmanager
def chatting(environment: dict[str, str], *versions: str) -> Iterator[str]:
    """Serves these versions; gives the address of the page."""
    command = [sys.executable, "-u", "-m", "korean_llm_assets", "serve", *versions, "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None, "a pipe, as asked for"
            lines = iter(process.stdout.readline, "")
            yield next(line.split()[1] for line in lines if line.startswith("chat:"))
        finally:
            process.send_signal(signal.SIGTERM)


def picture_of_report(browser: Any, ui: Served, path: Path, release: str) -> None:
    """From the asset's page, which shows what was made last, by its link: as a person comes to it."""
    page = open_page(browser, f"{ui.dagster}/assets/eval_report?view=overview")
    link = page.locator(f"a[href*='/reports/eval_report/tiny/{release}/']").first
    link.wait_for()
    page.goto(urljoin(ui.dagster, str(link.get_attribute("href"))))
    page.locator(".verdict").wait_for()
    take(page, path)
    page.close()


def picture_of_chat(browser: Any, url: str, path: Path, models: int) -> None:
    page = open_page(browser, url)
    page.get_by_label("Message").fill("대한민국의 수도는 어디인가요?")
    page.get_by_role("button", name="Send").click()
    page.locator("#send:enabled").wait_for()
    assert page.locator(".outcome", has_text="tokens/s").count() == models
    page.locator("summary").first.click()
    take(page, path)
    page.close()


def test_the_first_hour(home: Home, environment: dict[str, str], browser: Any, folder: Path) -> None:
    rest = iter(commands())
    assert next(rest) == "make demo"
    run("make demo", environment, home)
    stages = json.loads((home.root / "demo.json").read_text())["stages"]
    figures = set(re.findall(r"\*\*(.+?)\*\*", section()))
    assert figures and figures <= {row["headline"] for row in stages}, "what the text says in bold is what came out"
    taken = set()
    assert next(rest) == "make ui"
    with served(home, **environment) as ui:
        picture_of_report(browser, ui, folder / "pictures" / "report.png", "sample")
        drop = next(rest)
        assert drop.startswith("python -m trainers.sample var/landing --name 2026-12")
        run(drop, environment, home)
        wait_until(lambda: f"tiny|{RELEASE}" in ui.materialized("eval_report"), 3000)
        taken.add("pictures/report.png")
        for line in rest:
            if line.startswith("python -m korean_llm_assets serve "):
                with chatting(environment, *line.split()[4:]) as url:
                    picture_of_chat(browser, url, folder / "pictures" / "chat.png", models=2)
                taken.add("pictures/chat.png")
            else:
                assert run(line, environment, home).strip(), line
    assert pictures() == taken


def test_the_pictures_are_there_and_small() -> None:
    assert len(pictures()) <= 5
    assert all((PAGE.parent / name).stat().st_size <= MOST_BYTES for name in pictures())
