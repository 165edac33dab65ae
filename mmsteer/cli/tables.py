"""Tables that fit any terminal: long words are folded, never cut, and no text is taken for markup."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def table(headings: Iterable[str], rows: Iterable[Sequence[str]], title: str | None = None) -> "Table":
    """A table of texts.

    `headings`: of the columns; underscores become spaces, at which they may wrap.
    """
    from rich.table import Table
    from rich.text import Text

    made = Table(title=None if title is None else Text(title), title_justify="left")
    for heading in headings:
        made.add_column(Text(heading.replace("_", " ")), overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made
