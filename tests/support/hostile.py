"""Text that breaks out of a page that forgets to escape it, and what a browser or a Markdown viewer makes of a page."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from markdown_it import MarkdownIt

HOSTILE = (
    "</title></style></svg></td><script>alert(1)</script><img src=http://evil/x onerror='a()'>\"'> {{ 7 * 7 }} &lt; "
    "| ![p](http://evil/y) [l](javascript:a) `c` **d** __e__ ```` \\\x0b\x00\n\n# h\n- i\n<b>끝"
)
_VOID = {"meta", "img", "link", "br", "input"}


@dataclass
class Page:
    """What is in an HTML page."""

    tags: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    text: str = ""
    tables: list[list[list[str]]] = field(default_factory=list)
    """Rows of cells."""

    @property
    def rows(self) -> list[list[str]]:
        """Of all tables."""
        return [row for table in self.tables for row in table]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page, self.open, self.cell = Page(), [], None

    def handle_starttag(self, tag, attributes):
        self.page.tags.add(tag)
        self.page.attributes.update(name for name, _ in attributes)
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "table":
            self.page.tables.append([])
        elif tag == "tr":
            self.page.tables[-1].append([])
        elif tag in ("td", "th"):
            self.page.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.page.tags.add(tag)
        self.page.attributes.update(name for name, _ in attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.page.text += data
        if {"td", "th"} & set(self.open):
            self.page.tables[-1][-1][-1] += data


def read_page(html: str) -> Page:
    """The page as a parser sees it; fails where a tag closes another one."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader.page


def _viewer() -> MarkdownIt:
    """One that lets any address pass, `javascript:` among them."""
    viewer = MarkdownIt("commonmark").enable("table")
    viewer.validateLink = lambda address: True
    return viewer


def markup(text: str) -> set[str]:
    """The kinds of Markdown that a viewer finds in a text, raw HTML, links and pictures among them."""
    blocks = _viewer().parse(text)
    inner = [child for block in blocks for child in block.children or ()]
    return {token.type.removesuffix("_open").removesuffix("_close") for token in [*blocks, *inner]}


def cells(text: str) -> list[list[str]]:
    """Rows of every table of a Markdown text, as a viewer shows them."""
    return read_page(_viewer().render(text)).rows
