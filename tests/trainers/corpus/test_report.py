"""The corpus report: a long tail is summed up on the page and whole in Markdown; hostile text stays text in both."""

from tests.support.hostile import HOSTILE, cells, markup, read_page
from tests.trainers.runner.test_page import DRAWN, SHELL
from trainers.contract import Contamination, CorpusDetails, NounStatistics
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
        nouns=NounStatistics(nouns=1, new_words={HOSTILE: 1}, new_word_share=1, drift={HOSTILE: 1}),
        fertility={HOSTILE: {HOSTILE: 1}},
    )
    read = read_page(html(details))
    assert read.tags <= SHELL | DRAWN and read.text.count("<script>alert(1)</script>") > 12
    assert not markup(markdown(details)) & {"html_inline", "html_block", "image", "link", "code_inline", "bullet_list"}
    shown = " ".join(HOSTILE.replace("\x00", "\ufffd").split())
    assert [shown] * 3 in cells(markdown(details))
