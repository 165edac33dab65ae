"""Training as a line on the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmsteer.sae.training import Report, Status


@contextmanager
def progress_bar(console: Console | None = None) -> Iterator[Report]:
    """A bar with FVU, L0, dead and dense features and speed, for `train_dictionary(..., report=...)`.

    Args:
        console: Where to draw; the terminal by default.
    """
    columns = (
        TextColumn("Training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=None, status="")

        def report(status: Status) -> None:
            bar.update(task, completed=status.step, total=status.steps, status=str(status))

        yield report
