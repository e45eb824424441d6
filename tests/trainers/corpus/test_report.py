"""The corpus report: a long tail is summed up on the page and whole in Markdown; hostile text stays text in both."""

from tests.support.hostile import HOSTILE, cells, markup, read_page
from tests.trainers.contract.test_page import DRAWN, SHELL
from trainers.contract import Contamination, CorpusDetails, NounStatistics, RuleEffect, RuleExample, Unread
from trainers.corpus.report import html, markdown

COUNTS = {
    "read": 9,
    "kept": 5,
    "train_documents": 4,
    "validation_documents": 1,
    "characters": 9,
    "bytes": 9,
    "words": 3,
}


def test_a_long_tail_is_summed_up_on_the_page_and_whole_in_markdown():
    details = CorpusDetails(**COUNTS, excluded={}, by_source={f"source {n}": 99 - n for n in range(30)})
    read = read_page(html(details))
    assert "and 5 more, in report.md" in read.text and ["source 24", "75"] in read.rows
    assert ["source 25", "74"] not in read.rows and ["source 29", "70"] in cells(markdown(details))


def test_the_funnel_says_what_each_reason_took():
    details = CorpusDetails(**COUNTS, excluded={"too_short": 3, "exact_duplicate": 1})
    rows = [["read", "9"], ["after too_short (-3)", "6"], ["after exact_duplicate (-1)", "5"]]
    assert [row for row in read_page(html(details)).rows if row in rows] == rows
    assert [row for row in cells(markdown(details)) if row in rows] == rows


def test_hostile_text_in_every_field_stays_text():
    fields = ("excluded", "masked", "repaired", "removed_lines", "by_source", "by_licence", "by_language")
    fields += ("earlier", "cluster_size")
    counted = {name: {HOSTILE: 1} for name in fields}
    details = CorpusDetails(
        **COUNTS,
        **counted,
        contaminated=[Contamination(item=HOSTILE, document=HOSTILE, piece=HOSTILE)],
        rules=[
            RuleEffect(
                rule=HOSTILE,
                limit=0.5,
                documents=1,
                bytes=9,
                alone=1,
                alone_bytes=9,
                excluded=[RuleExample(value=0.7, text=HOSTILE)],
                kept=[RuleExample(value=0.4, text=HOSTILE)],
            )
        ],
        nouns=NounStatistics(nouns=1, new_words={HOSTILE: 1}, new_word_share=1, drift={HOSTILE: 1}),
        fertility={HOSTILE: {HOSTILE: 1}},
    )
    read = read_page(html(details))
    assert read.tags <= SHELL | DRAWN and read.text.count("<script>alert(1)</script>") > 12
    assert not markup(markdown(details)) & {"html_inline", "html_block", "image", "link", "code_inline", "bullet_list"}
    shown = " ".join(HOSTILE.replace("\x00", "\ufffd").split())
    assert [shown] * 3 in cells(markdown(details))


def test_the_first_screen_says_what_came_of_it_in_both_languages():
    unread = [Unread(file="a.bin", reason="broken", detail="", bytes=12_000, rows=3)]
    page = html(CorpusDetails(**COUNTS, excluded={"too_short": 3, "exact_duplicate": 1}, unread=unread))
    first = page.index("5 of 9 documents kept (55.6%)")
    assert first < page.index("left out by too_short: 3 (33.3%)") < page.index("left out by exact_duplicate")
    assert first < page.index("Documents, from read to kept") and "문서 9건 중 5건(55.6%) 남음" in page
    assert '<li class="bad"><span lang="en">NOT READ: 12,000 bytes' in page
    assert "What changed" not in page, "the first release changes nothing"


def test_what_changed_against_the_last_release_is_told_the_largest_first():
    before = CorpusDetails(**{**COUNTS, "read": 100, "kept": 90}, excluded={"too_short": 10}, by_source={"news": 90})
    now = CorpusDetails(
        **{**COUNTS, "read": 100, "kept": 50}, excluded={"too_short": 12, "language": 38}, by_source={"news": 50}
    )
    page = html(now, before, "2026-10")
    rows = [row for row in read_page(page).rows if row and row[0].startswith(("left out", "kept", "source"))]
    assert "What changed against release 2026-10" in page
    figures = [row[1:] for row in rows]
    assert figures[:3] == [
        ["90", "50", "-44.4%"],
        ["0.0%", "38.0%", "+38.0 points"],
        ["10.0%", "12.0%", "+2.0 points"],
    ]
    assert '<td class="bad">+38.0 points</td>' in page and "<td>+2.0 points</td>" in page
