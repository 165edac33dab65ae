"""What a judge found in outputs, as a page: clips to listen to, and the table."""

from collections.abc import Sequence

from mmsteer.report.rendering import render


def eval_page(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], clips: Sequence[str]) -> str:
    """The page; audio stays where it is.

    Args:
        title: What was judged.
        headings: Of the columns; underscores become spaces.
        rows: The lines of the table, as texts.
        clips: For each line the address of its clip; empty where lines are no clips.
    """
    return render(
        "eval.html.j2", title=title, headings=[one.replace("_", " ") for one in headings], rows=rows, clips=clips
    )
