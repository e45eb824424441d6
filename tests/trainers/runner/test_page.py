"""The page shows what it is given, escapes all of it, leaves out what is empty, and needs nothing else."""

from tests.support.hostile import HOSTILE, read_page
from trainers.contract.charts import bars
from trainers.runner.page import Outcome, PageSection, Table, page

SHELL = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "table", "tr", "th", "td"}
DRAWN = {"figure", "figcaption", "svg", "text", "rect", "line"}


def test_sections_come_in_order_and_empty_ones_are_left_out():
    html = page(
        "t",
        [PageSection("b", table=Table(["x"], [["1"]])), PageSection("none"), PageSection("a", [bars("a", {"n": 2})])],
    )
    assert html.startswith("<!doctype html>\n")
    assert html.index("<h2>b</h2>") < html.index("<h2>a</h2>") and "none" not in read_page(html).text.split()
    assert "<figcaption>" not in html, "the section's title is the chart's"
    assert read_page(html).rows == [["x"], ["1"], ["", "figure"], ["n", "2"]], "a chart's figures are there as a table"


def test_columns_without_names_have_no_head():
    assert read_page(page("t", [PageSection("facts", table=Table(["", ""], [["seed", "1"]]))])).rows == [["seed", "1"]]


def test_only_a_long_cell_may_break_inside_a_word():
    html = page("t", [PageSection("s", table=Table(["x"], [["verified_accuracy"], ["ㅋ" * 300]]))])
    assert "<td>verified_accuracy</td>" in html and '<td class="long">ㅋㅋ' in html


def test_a_verdict_is_told_in_words_and_colour():
    assert '<p class="good">passed</p>' in page("t", [], Outcome("passed", True))
    assert '<p class="bad">failed</p>' in page("t", [], Outcome("failed", False))


def test_hostile_text_in_every_field_stays_text():
    chart = bars(HOSTILE, {HOSTILE: 1}, unit=HOSTILE)
    section = PageSection(f"{HOSTILE}!", [chart], Table([HOSTILE], [[HOSTILE]]), note=HOSTILE)
    read = read_page(page(HOSTILE, [section], Outcome(HOSTILE, False)))
    assert read.tags <= SHELL | DRAWN
    assert not {name for name in read.attributes if name.startswith("on") or name in ("src", "href")}
    assert read.text.count("<script>alert(1)</script>") >= 8 and "{{ 7 * 7 }}" in read.text


def test_the_page_forbids_itself_to_run_or_fetch_anything():
    html = page("t", [PageSection("s", [bars("c", {"a": 1})])])
    assert "default-src 'none'" in html
    assert "http" not in html.replace("http-equiv", "") and "url(" not in html and "<script" not in html
