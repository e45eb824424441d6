"""The one HTML page that every report is: a title, sections with charts and tables, and no other file.

What is shown is data of others, so Python builds no markup: the template escapes all of it, and the page forbids
the browser to run or fetch anything. Charts' SVG goes in as it is; ElementTree has escaped it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from trainers.contract.charts import Chart

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True)
class Table:
    """Rows of text below the names of the columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class PageSection:
    """A part of a page; one without charts and rows is left out."""

    title: str
    charts: Sequence[Chart] = ()
    table: Table = field(default_factory=lambda: Table((), ()))
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """The line below the title, green or red."""

    text: str
    passed: bool


def page(title: str, sections: Sequence[PageSection], outcome: Outcome | None = None) -> str:
    """The whole page as HTML; the same content gives the same bytes."""
    shown = [section for section in sections if section.charts or section.table.rows]
    return _TEMPLATES.get_template("page.html.jinja").render(title=title, outcome=outcome, sections=shown)
