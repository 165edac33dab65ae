"""The typical norms of a model's hidden states, for directions that came without them."""

from collections.abc import Sequence
from dataclasses import replace

from mmsteer.errors import DirectionError
from mmsteer.record import record
from mmsteer.types import Adapter, Direction, NormSpread, Sample

TEXTS = (
    "The museum opens at nine in the morning and closes at six.",
    "Explain in two sentences how a bicycle stays upright.",
    "My sister bought three apples, a loaf of bread and some cheese at the market yesterday.",
    "Write a short poem about the sea in winter.",
    "What is the capital of Norway, and how many people live there?",
    "She looked out of the window, saw the rain, and decided to stay at home with a book.",
)
"""What is read where no samples are given."""


def with_typical_norms(adapter: Adapter, direction: Direction, samples: Sequence[Sample] | None = None) -> Direction:
    """The direction with the typical norms of its sites, so that strengths can be fractions of them.

    Args:
        adapter: The model that it will steer.
        direction: A direction whose norms were not measured.
        samples: What to read; None for `TEXTS`, which only models of text can read.

    Raises:
        DirectionError: The model has not its sites, or of other widths; or there are no samples.
    """
    direction.check_model(adapter)
    if samples is None:
        samples = [Sample(str(at), text) for at, text in enumerate(TEXTS)]
    if not samples:
        raise DirectionError("no samples to measure typical norms on; give some, or None for built-in sentences")
    read = record(adapter, samples, direction.sites)
    stats = {
        site: replace(one, residual_norm=read.norms[site].median, norms=NormSpread.of(read.norms[site]))
        for site, one in direction.stats.items()
    }
    return replace(direction, stats=stats)
