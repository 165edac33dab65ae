"""What an output of a run comes from, drawn beside it."""

from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup

from mmsteer.attribution import Attribution
from mmsteer.errors import AdapterError
from mmsteer.eval.audio import read_audio
from mmsteer.images import read_image
from mmsteer.report.attribution_parts import Attributed
from mmsteer.report.attribution_pictures import Seen, attribution_picture, explained, no_map
from mmsteer.report.frames import Clip
from mmsteer.report.output_parts import Example, Output
from mmsteer.report.run_data import Run

NAMED = 5
"""Units that are named with their values."""


@dataclass(frozen=True)
class Source:
    """What an output comes from.

    Attributes:
        about: What of it, by which technique, from what to what.
        picture: Of the units; empty where a list says it.
        largest: The largest units with their values.
        refused: Why there is nothing of this; empty where there is.
    """

    about: str
    picture: Markup
    largest: str
    refused: str


def source_of(run: Run, example: Example, one: Output) -> Source | None:
    """What an output comes from; None where that was not asked.

    Args:
        run: The run.
        example: What the model was given.
        one: What it put out.
    """
    asked = run.attributions.get(one.condition, {}).get(one.example)
    if asked is None:
        return None
    about = f"what “{asked.words}” comes from" if asked.words else "what it comes from"
    if asked.refused:
        return Source(about, Markup(), "", asked.refused)
    found = asked.found
    return Source(
        f"{about}: {asked.units} by {found.technique}; log-probability {explained(found)}",
        _picture(run, example, one, asked),
        # Tokens and patches are known by their places, not by their names.
        "" if found.kind == "tokens" else ", ".join(f"{name} {value:+.2f}" for name, value in found.largest(NAMED)),
        "",
    )


def _picture(run: Run, example: Example, one: Output, asked: Attributed) -> Markup:
    if asked.units == "patches":
        return _over_image(run, example, asked.found)
    return attribution_picture(asked.found, clip=_clip(run, one, asked))


def _over_image(run: Run, example: Example, found: Attribution) -> Markup:
    """Patches over their image, or why they are not."""
    files = [name for name in example.images if (run.folder / name).is_file()]
    if not files:
        return no_map("the image file is missing")
    try:
        image = read_image(run.folder / files[0])
    except AdapterError as cause:
        return no_map(str(cause))
    return attribution_picture(found, Seen(quote(files[0]), image.width / image.height))


def _clip(run: Run, one: Output, asked: Attributed) -> Clip | None:
    """The clip, where frames are drawn over it and it is still there."""
    if asked.kind != "frames" or asked.rate is None or not one.audio or not (run.folder / one.audio).is_file():
        return None
    clip = read_audio(run.folder / one.audio)
    return Clip(clip.samples, clip.sample_rate, asked.rate)
