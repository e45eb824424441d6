"""A person at the browser: reads the lineage graph, materializes one partition, and sees it succeed."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import chromium
from tests.support.served import Served, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ASSETS = (
    *("corpus", "instructions", "preferences", "benchmarks", "base_model"),
    *("cpt_checkpoint", "sft_model", "rlhf_model", "eval_report", "deployed_model"),
)


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with chromium() as browser:
        opened = browser.new_page(viewport={"width": 1900, "height": 1000})
        opened.set_default_timeout(90_000)
        yield opened


def test_the_lineage_graph_shows_every_asset(ui: Served, page: Any) -> None:
    page.goto(f"{ui.dagster}/asset-groups")
    page.get_by_text("deployment", exact=True).first.wait_for()
    page.keyboard.press("Alt+e")  # open all groups
    for name in ASSETS:
        page.get_by_text(name, exact=True).first.wait_for()
    page.screenshot(path=ui.home.root / "lineage.png")


def test_a_partition_is_materialized_by_clicking_and_its_success_is_seen(ui: Served, page: Any) -> None:
    page.goto(f"{ui.dagster}/assets/benchmarks?view=partitions&partition=door-browser")
    page.get_by_text("No metadata entries").wait_for()
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("button", name="Launch").last.click()
    wait_until(lambda: "door-browser" in ui.materialized("benchmarks"), 240)
    page.reload()  # a busy machine's page is slow to notice by itself
    page.get_by_text("artifact location").first.wait_for()
