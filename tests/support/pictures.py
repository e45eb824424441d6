"""Pictures of the product's pages, for documents: taken by Chromium, and small."""

import subprocess
from pathlib import Path
from typing import Any

MOST_BYTES = 100_000  # of a picture in a document
_FEWEST_BYTES = 5_000
_WIDTH, _HEIGHT = 1000, 620


def open_page(browser: Any, url: str) -> Any:
    """A page in the size of the pictures."""
    page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT}, color_scheme="light")
    page.set_default_timeout(120_000)
    page.goto(url)
    return page


def take(page: Any, path: Path) -> None:
    """Write what the window shows; fails where that is nothing (a page of one colour), too large for a document, or
    boxes in place of Korean."""
    assert subprocess.run(["fc-list", ":lang=ko"], capture_output=True).stdout, "no font has Hangul: fonts-nanum"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    assert _FEWEST_BYTES <= path.stat().st_size <= MOST_BYTES, f"{path.name} has {path.stat().st_size:,} bytes"
