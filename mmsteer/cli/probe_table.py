"""What `mmsteer probe` prints."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmsteer.probes.held_out import DRAWS, FEWEST, HeldOut
from mmsteer.probes.split import SHARES
from mmsteer.recipes.finding import Found

LONGEST_LABEL = 14
"""Characters of a label at the head of a column."""


def show(found: Found) -> None:
    """Print the scores of every site, in as many tables beneath one another as the terminal asks for.

    Args:
        found: What a probe found.
    """
    console = Console(highlight=False)
    console.print(Text("Held-out scores; AUC of each direction alone", style="italic"))
    for table in _tables(found.table, console.width):
        console.print(table)
    if found.held_out is not None:
        console.print(Text(verdict(found.held_out)))


def verdict(held: HeldOut) -> str:
    """What the held-out part says of the best site, and how sure that is.

    Args:
        held: Its numbers.
    """
    counts = ", ".join(f"{label} {count}" for label, count in held.sources.items())
    part = f"held out: {held.rows} rows (sources of each label: {counts})"
    if held.p is None:
        rare = min(held.sources, key=lambda label: held.sources[label])
        return (
            f"{part}\nbest site: {held.site}, AUC {held.auc.value:.3f}; too few to tell it from chance: {rare} has "
            f"{held.sources[rare]} held-out sources, and {FEWEST} are needed (give each label "
            f"{round(FEWEST / SHARES[-1])} or more)"
        )
    return (
        f"{part}\nbest site: {held.site}, AUC {held.auc.value:.3f} [{held.auc.low:.3f}, {held.auc.high:.3f}]; "
        f"p {'<' if held.p * DRAWS < 1.5 else '='} {max(held.p, 1 / DRAWS):.2g} that the best of {held.sites} sites "
        "reaches this with permuted labels"
    )


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
