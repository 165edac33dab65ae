"""Pages as a browser would read them."""

from html.parser import HTMLParser
from pathlib import Path

from mmsteer.report import write_report


class Page(HTMLParser):
    """The tags of a page, its text outside of scripts and styles, and its words with single spaces between them."""

    VOID = ("meta", "link", "br", "img", "wbr")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self._words: list[str] = []
        self.feed(html)
        assert not self._open, f"never closed: {self._open}"
        self.words = " ".join(self._words)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self._open):
            self.text += data
            self._words += data.split()

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report(folder: Path) -> Page:
    """The page of a run, written anew."""
    return Page(write_report(folder).read_text())
