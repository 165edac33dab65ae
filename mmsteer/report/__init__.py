"""A run folder → one HTML page: scores beside their controls, curves over strength and time, audio, receipts."""

from pathlib import Path

from mmsteer.atomic import write_atomically
from mmsteer.errors import RecipeError
from mmsteer.report.page import render_page
from mmsteer.report.run_data import read_run

NAME = "report.html"

__all__ = ["write_report"]


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder; a page that is there is replaced as a whole.

    The page asks for nothing but the run's own audio files, so it moves with its folder.

    Args:
        folder: A run folder, finished or not.

    Raises:
        RecipeError: It is no run folder, or is damaged, or cannot be written.
    """
    page = folder / NAME
    html = render_page(read_run(folder))
    try:
        write_atomically(page, html.encode())
    except OSError as cause:
        raise RecipeError(f"{page} cannot be written: {cause.strerror}; copy the run to a place that can be") from None
    return page
