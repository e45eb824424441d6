"""The page shows what it is given, escapes all of it, leaves out what is empty, and needs nothing else."""

import base64
import hashlib
import re
from html import unescape

from tests.support.hostile import HOSTILE, read_page
from trainers.contract.charts import bars
from trainers.contract.page import Line, Outcome, PageSection, Table, Words, page

SHELL = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "div", "span", "ul", "li"),
    *("table", "tr", "th", "td", "details", "summary", "fieldset", "label", "input"),
}
FILTERED = {"form", "select", "option", "output", "script"}
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
    html = page("t", [PageSection("s", table=Table(["x"], [["verified_accuracy"], ["2026-12"], ["ㅋ" * 300]]))])
    assert "<td>verified_accuracy</td>" in html and '<td class="word">2026-12</td>' in html, "a hyphen breaks no name"
    assert '<td class="long">ㅋㅋ' in html


def test_a_verdict_is_told_in_words_and_colour():
    assert '<p class="good verdict">passed</p>' in page("t", [], Outcome("passed", True))
    assert '<p class="bad verdict">failed</p>' in page("t", [], Outcome("failed", False))


def test_what_is_ours_is_there_in_both_languages_and_lines_and_cells_have_a_tone():
    section = PageSection(Words("Gate", "게이트"), lines=[Line("met", "good"), Line(Words("no", "아니오"), "bad")])
    cells = PageSection("t", table=Table(["x"], [[Line("3 < 4", "bad")]]), folded=True)
    html = page("t", [section, cells])
    assert '<h2><span lang="en">Gate</span><span lang="ko">게이트</span></h2>' in html
    assert '<li class="good">met</li>' in html
    assert '<li class="bad"><span lang="en">no</span><span lang="ko">아니오</span></li>' in html
    assert "<summary><h2>t</h2></summary>" in html and '<td class="bad">3 &lt; 4</td>' in html


def test_hostile_text_in_every_field_stays_text():
    chart = bars(HOSTILE, {HOSTILE: 1}, unit=HOSTILE)
    section = PageSection(f"{HOSTILE}!", [chart], Table([HOSTILE], [[HOSTILE]]), note=HOSTILE)
    read = read_page(page(HOSTILE, [section], Outcome(HOSTILE, False)))
    assert read.tags <= SHELL | DRAWN
    assert not {name for name in read.attributes if name.startswith("on") or name in ("src", "href")}
    assert read.text.count("<script>alert(1)</script>") >= 8 and "{{ 7 * 7 }}" in read.text


def test_a_table_that_can_be_filtered_offers_its_values_and_runs_the_one_script_that_the_page_lets_run():
    rows = [[Line("b", "bad"), HOSTILE], ["a", "x"], ["b", "y"]]
    html = page("t", [PageSection("s", table=Table(["way", "text"], rows), filter_by=[0])])
    assert read_page(html).tags <= SHELL | FILTERED
    assert "<option>a</option>\n<option>b</option>\n</select>" in html and "<form hidden>" in html
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in unescape(html)


def test_the_page_forbids_itself_to_run_or_fetch_anything():
    html = page("t", [PageSection("s", [bars("c", {"a": 1})])])
    assert "default-src 'none'" in html
    assert "http" not in html.replace("http-equiv", "") and "url(" not in html and "<script" not in html


def test_lines_and_cells_lead_on_and_a_list_of_links_stands_in_a_row():
    links = [Line(Words("the release", "릴리스"), href="/releases/a&b"), Line("run", href="/tracking/1")]
    html = page("t", [PageSection("go", lines=links, table=Table(["x"], [[Line("<b>", "good", "/x")]]))])
    assert '<ul class="links">' in html and '<td class="good"><a href="/x">&lt;b&gt;</a></td>' in html
    assert '<li><a href="/releases/a&amp;b"><span lang="en">the release</span>' in html
    assert 'class="links"' not in page("t", [PageSection("go", lines=[*links, Line("words")])])
