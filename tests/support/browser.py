"""Debian's Chromium for tests: no sandbox (root), and nothing of its own that fetches."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
_FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]

_SERIOUS = {"serious", "critical"}

on_every_screen = pytest.mark.parametrize(
    ("width", "theme"),
    (
        (360, "dark"),
        *(pytest.param(w, t, marks=pytest.mark.prove) for w, t in ((360, "light"), (1600, "dark"), (1600, "light"))),
    ),
)
"""Narrow and wide, dark and light; one of them in `make test`."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A Playwright browser; the test is skipped where there is none."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no chromium; install it with: apt-get install -y chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_FLAGS)
        yield browser
        browser.close()


def assert_fits_and_is_accessible(page: Any, width: int) -> None:
    """No sideways scrolling, folded parts open or not, and nothing that axe calls serious."""
    from axe_playwright_python.sync_playwright import Axe

    assert page.evaluate("document.documentElement.scrollWidth") <= width, "no sideways scrolling of the page"
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    violations = Axe().run(page).response["violations"]
    serious = [(one["id"], one["nodes"][0]["html"][:200]) for one in violations if one["impact"] in _SERIOUS]
    assert not serious
