"""Commands and Python in the README and the guides."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Something to run, and where it stands.

    Attributes:
        name: Page, and line.
        text: What it is.
    """

    name: str
    text: str

    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)


def python() -> list[Block]:
    """The Python blocks."""
    return [
        Block(f"{page.name}:{_line(text, found.start())}", found[2])
        for page in PAGES
        for text in [page.read_text()]
        for found in FENCED.finditer(text)
        if found[1] == "python"
    ]


def commands() -> list[Block]:
    """Lines that begin with a program of the project, indented or fenced, with those that continue them."""
    return [one for page in PAGES for one in _commands(page)]


def _commands(page: Path) -> list[Block]:
    text = page.read_text()
    text = FENCED.sub(_as_indented, text)
    lines = re.sub(r" \\\n", lambda _: " \\", text).splitlines()
    found, at = [], 1
    for line in lines:
        if re.match(r"    (mmsteer|make|python(?! -X)) ", line):
            found.append(Block(f"{page.name}:{at}", line.replace("\\", " ").strip()))
        at += 1 + line.count("\\")
    return found


def _as_indented(fenced: re.Match[str]) -> str:
    """What is fenced in Python is no command; lines of a shell are indented, as commands without a fence are."""
    if fenced[1] == "sh":
        return "\n" + re.sub("^", "    ", fenced[2], flags=re.MULTILINE) + "\n"
    return "\n" * fenced[0].count("\n") if fenced[1] == "python" else fenced[0]


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1
