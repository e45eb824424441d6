"""Text of others stays text in Markdown: what a viewer shows is what was given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.support.hostile import HOSTILE, cells, markup
from trainers.contract.markdown import code, escaped, quote, table

PRINTABLE = st.text(
    st.characters(exclude_categories=("C", "Z"), include_characters=" \n|\\`*_[]()<>&!#-~"), max_size=40
)
PLAIN = {"paragraph", "inline", "text", "text_special", "softbreak"}


def on_one_line(text):
    return " ".join(text.split())


@given(PRINTABLE, PRINTABLE)
def test_a_cell_shows_its_text_and_nothing_else(first, second):
    assert cells("\n".join(table(["a", "b"], [(first, second)])))[1] == [on_one_line(first), on_one_line(second)]


@given(PRINTABLE)
def test_a_quote_holds_text_only(text):
    assert markup(quote(text)) <= PLAIN | {"blockquote"}


@given(PRINTABLE)
def test_code_shows_its_text_as_it_is(text):
    first, *others = MarkdownIt("commonmark").parse(code(text))
    assert (first.type, first.content, others) == ("fence", f"{text}\n", [])


@pytest.mark.parametrize(
    "text", ["exact_duplicate", "after too_short (-1)", "1,024 characters and more", "한국어 - 뜻."]
)
def test_ordinary_names_stay_as_they_are_for_readers_in_a_pager(text):
    assert escaped(text) == text


def test_a_table_lines_its_numbers_up():
    assert table(["what", "count"], [("a|b", 3)], numbers=1) == ["| what | count |", "|---|---:|", "| a\\|b | 3 |"]


def test_hostile_text_makes_no_html_link_or_picture():
    page = "\n".join([*table([HOSTILE], [[HOSTILE]]), "", quote(HOSTILE), "", code(HOSTILE)])
    assert not markup(page) & {"html_inline", "html_block", "image", "link", "heading", "bullet_list", "code_inline"}
