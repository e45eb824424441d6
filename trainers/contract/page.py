"""The one HTML page that every report is: a title, sections with lines, charts and tables, and no other file.

What is shown is data of others, so Python builds no markup: the template escapes all of it, and the page forbids
the browser to fetch anything, and to run anything but the filter of long tables. Charts' SVG goes in as it is;
ElementTree has escaped it. Light and dark, Korean and English, narrow and wide are matters of the style sheet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from trainers.contract.charts import Chart
from trainers.contract.page_filter import FILTER, FILTER_SOURCE

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
Tone = Literal["", "good", "bad"]


@dataclass(frozen=True)
class Words:
    """A text of ours in both languages; the reader switches on the page."""

    en: str
    ko: str

    def __str__(self) -> str:
        return self.en


Text = str | Words
"""Of others, as it is; or ours, in both languages."""


@dataclass(frozen=True)
class Line:
    """One line of a list, green or red where it is good or bad; a link where it has an address (`page_links.py`)."""

    text: Text
    tone: Tone = ""
    href: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells below the names of the columns; a cell is a text, or a `Line` with its tone."""

    columns: Sequence[Text]
    rows: Sequence[Sequence[Text | Line]]


@dataclass(frozen=True)
class PageSection:
    """A part of a page; one without lines, charts and rows is left out. A folded one shows its title only."""

    title: Text
    charts: Sequence[Chart] = ()
    table: Table = field(default_factory=lambda: Table((), ()))
    note: Text = ""
    lines: Sequence[Line] = ()
    folded: bool = False
    filter_by: Sequence[int] = ()
    """Columns of the table by whose values the reader can filter its rows; he can search them then, too."""

    @property
    def is_of_links(self) -> bool:
        """Whether every line is a link: they stand beside each other then."""
        return bool(self.lines) and all(line.href for line in self.lines)

    @property
    def filters(self) -> list[tuple[int, Text, list[str]]]:
        """(number, name, values) of each such column."""
        values = ({_words(row[column]) for row in self.table.rows} for column in self.filter_by)
        return [(c, self.table.columns[c], sorted(each)) for c, each in zip(self.filter_by, values, strict=True)]


@dataclass(frozen=True)
class Outcome:
    """The line below the title, green or red."""

    text: Text
    passed: bool


def _words(cell: Text | Line) -> str:
    return str(cell.text if isinstance(cell, Line) else cell)


def page(title: str, sections: Sequence[PageSection], outcome: Outcome | None = None) -> str:
    """The whole page as HTML; the same content gives the same bytes."""
    shown = [section for section in sections if section.lines or section.charts or section.table.rows]
    return _TEMPLATES.get_template("page.html.jinja").render(
        title=title, outcome=outcome, sections=shown, filter=FILTER, filter_source=FILTER_SOURCE
    )
