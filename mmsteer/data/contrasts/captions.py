"""Contrasts between whole captions of the same image, teacher-forced."""

from collections.abc import Sequence
from typing import Literal, get_args

from mmsteer.data.contrasts.contrast import Contrast, paired
from mmsteer.data.contrasts.demos import Demo
from mmsteer.data.contrasts.endings import end_alike
from mmsteer.errors import DataError
from mmsteer.types import Sample

Ending = Literal["shared", "written"]
Read = Literal["last", "mean"]
_READS = {"last": ("all", "last"), "mean": ("generated", "mean")}


def captions(demos: Sequence[Demo], *, ending: Ending = "shared", read: Read = "last") -> Contrast:
    """Careful captions (1) against loose ones (0) of the same images.

    VTI reads the last token of captions as they are written. That token is nearly always a full stop after
    whatever was said last, in captions of different length, and so the direction holds length and style as well.
    With a shared ending both captions close with the same sentence and are about as long.

    Args:
        demos: What is said about which image.
        ending: `shared`, see `end_alike`; or `written`, as in VTI.
        read: `last` answer token, or `mean` over all answer tokens.

    Raises:
        DataError: The ending or the reading is unknown, or two captions cannot end alike.
    """
    if ending not in get_args(Ending) or read not in _READS:
        raise DataError(f"ending {ending!r}, read {read!r}; choose from {get_args(Ending)} and {get_args(Read)}")
    pairs = []
    for demo in demos:
        careful, loose = (demo.careful, demo.loose) if ending == "written" else _alike(demo)
        pairs.append((demo.id, demo.sample("careful", careful), demo.sample("loose", loose)))
    positions, pool = _READS[read]
    return paired(f"captions ({ending} ending)", pairs, positions=positions, pool=pool)


def language_prior(demos: Sequence[Demo], refusal: str) -> Contrast:
    """Loose captions (1) against a refusal (0), both without any image: REVIS's language prior.

    Args:
        demos: The demos.
        refusal: What the model would say when it sees nothing.

    Source: REVIS, arXiv:2602.11824.
    """
    pairs = [
        (
            demo.id,
            Sample(f"{demo.id}/loose", demo.question, output=demo.loose),
            Sample(f"{demo.id}/refusal", demo.question, output=refusal),
        )
        for demo in demos
    ]
    return paired("language prior", pairs)


def _alike(demo: Demo) -> tuple[str, str]:
    try:
        return end_alike(demo.careful, demo.loose)
    except DataError as error:
        raise DataError(f"demo {demo.id}: {error}") from error
