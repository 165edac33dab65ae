"""An attribution as a page: its picture, its numbers, and its largest units."""

from typing import Any

from mmsteer.attribution import Attribution
from mmsteer.report.attribution_pictures import attribution_picture, explained, inlined, legend
from mmsteer.report.frames import Clip, player
from mmsteer.report.rendering import render

SHOWN = 20
"""Units that the list holds."""


def attribution_page(
    found: Attribution, title: str, lead: str, output: str, image: Any = None, clip: Clip | None = None
) -> str:
    """The page; it needs nothing but itself.

    Args:
        found: The attribution.
        title: Heads the page.
        lead: What was asked, in words.
        output: What the model put out.
        image: A PIL image, where the units are its patches.
        clip: The clip, where the units are its frames.
    """
    picture = attribution_picture(found, inlined(image) if image else None, clip)
    return render(
        "attribution.html.j2",
        title=title,
        lead=lead,
        output=output,
        picture=picture + player(clip) if clip else picture,
        legend=legend(found.technique),
        explained=explained(found),
        largest=[(name, f"{value:+.3f}") for name, value in found.largest(SHOWN)],
    )
