"""What `mmsteer probe` prints."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmsteer.recipes.finding import Found

LONGEST_LABEL = 14
"""Characters of a label at the head of a column."""


def show(found: Found) -> None:
    """Print the scores of every site, in as many tables beneath one another as the terminal asks for."""
    console = Console(highlight=False)
    console.print(Text("Held-out scores; AUC of each direction alone", style="italic"))
    for table in _tables(found.table, console.width):
        console.print(table)
    if found.held_out is not None:
        console.print(Text(str(found.held_out)))


def _tables(scores: Mapping[str, Any], width: int) -> Iterator[Table]:
    labels = list(scores["labels"])
    site = max(len("site"), *(len(row["site"]) for row in scores["rows"]))
    metric = max(len(scores["metric"]), len("0.000"))
    cell = min(max(len("0.000"), *map(len, labels)), LONGEST_LABEL)
    # A column costs its text, two spaces and a line.
    fitting = max(1, (width - (site + 3) - (metric + 3) - 1) // (cell + 3))
    for start in range(0, len(labels), fitting):
        table = Table()
        table.add_column("site", no_wrap=True)
        table.add_column(scores["metric"], justify="right", no_wrap=True)
        some = labels[start : start + fitting]
        for label in some:
            table.add_column(Text(label), justify="right", overflow="fold", max_width=cell, min_width=5)
        for row in scores["rows"]:
            table.add_row(row["site"], f"{row['score']:.3f}", *(f"{row['labels'][label]:.3f}" for label in some))
        yield table
