"""The corpus report's page in Chromium: what came in, what was dropped by which rule, what changed, on any screen."""

import pytest

from tests.support.browser import assert_fits_and_is_accessible, on_every_screen
from tests.trainers.corpus.test_report import COUNTS
from trainers.contract import Contamination, CorpusDetails, RuleEffect, RuleExample, Unread
from trainers.corpus.report import html

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LONG = "대한민국의수도는서울이며" * 10


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    rules = [
        RuleEffect(
            **{"rule": rule, "limit": 0.5, "documents": 30, "bytes": 9000, "alone": 20, "alone_bytes": 6000},
            excluded=[RuleExample(value=0.7, text=f"버린 글 {rule} {LONG}")],
            kept=[RuleExample(value=0.4, text=f"남긴 글 {rule} {LONG}")],
        )
        for rule in ("hangul_share", "repeated_lines")
    ]
    counts = {**COUNTS, "read": 100, "kept": 40}
    details = CorpusDetails(
        **counts,
        excluded={"hangul_share": 30, "repeated_lines": 30},
        by_source={f"https://news.example.com/{LONG}/{n}": 1 for n in range(30)},
        unread=[Unread(file=f"{LONG}.bin", reason="broken", detail="", bytes=12_000, rows=3)],
        contaminated=[Contamination(item="suite/1", document="doc", piece=LONG)],
        rules=rules,
    )
    before = CorpusDetails(**{**counts, "kept": 90}, excluded={"hangul_share": 10})
    page = tmp_path_factory.mktemp("corpus") / "report.html"
    page.write_text(html(details, before, "2026-10"), encoding="utf-8")
    return page.as_uri()


@on_every_screen
def test_the_page_fits_and_is_accessible(browser, address, width, theme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    page.goto(address)
    assert_fits_and_is_accessible(page, width)
    page.close()


def test_what_came_of_the_drop_what_changed_and_what_each_rule_dropped_and_kept_is_there(browser, address):
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    page.goto(address)
    assert page.get_by_text("40 of 100 documents kept (40.0%)").bounding_box()["y"] < 900, "on the first screen"
    changed = page.get_by_role("row", name="left out: hangul_share")
    assert "+20.0 points" in changed.inner_text()
    dropped = page.get_by_role("row", name="버린 글 hangul_share").first.inner_text()
    assert "남긴 글 hangul_share" in dropped and "0.5" in dropped, "samples from both sides of the limit"
    page.get_by_label("한국어").check()
    assert page.get_by_text("이전 릴리스 2026-10과(와) 달라진 것").is_visible()
    page.close()
