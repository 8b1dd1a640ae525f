"""A page as a reader of its HTML finds it."""

from html.parser import HTMLParser

from tasks.report import page
from tasks.report.config import ReportConfig
from tasks.report.contents import ReportContents


class _Tables(HTMLParser):
    """The cells of each table, by the id of its caption."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self._rows: list[list[str]] = []
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self._rows = []
        elif tag == "caption":
            self.tables[dict(attrs)["id"] or ""] = self._rows
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td"):
            self._rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            # A line of its own, such as the figures below a name, is a word of its own.
            self._rows[-1][-1] = " ".join(f"{self._rows[-1][-1]} {data}".split())


def render(contents: ReportContents, **config: int) -> str:
    return page.render(contents, ReportConfig(**config))


def table(html: str, caption: str) -> list[list[str]]:
    """The cells of one table, row by row, with plain spaces between their words."""
    return _Tables(html).tables[caption]


def sections(html: str) -> list[str]:
    """The sections of the list at the top, which are those of the page."""
    nav = html[html.index('<nav class="contents"') :].split("</nav>")[0]
    named = [part.split('"')[0] for part in nav.split('href="#')[1:]]
    main = html[html.index("<main") :]
    assert named == [part.split('"')[0] for part in main.split('<section aria-labelledby="')[1:]]
    return named
