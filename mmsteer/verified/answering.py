"""Descriptions whose objects the model is asked about, one by one, and which then say nothing of those it denies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmsteer.eval.chair_parser import Mention, Parse
from mmsteer.types import Sample, Sampling
from mmsteer.verified.editing import without

Reader = Callable[[Sequence[Sample], Sequence[Sequence[Mention]]], list[list[float]]]
"""For descriptions and the mentions in each, how sure it is that what each names is in the image."""


@dataclass(frozen=True)
class Checked:
    """An object that a description named.

    Attributes:
        object: The object.
        reading: How sure it is that it is there.
    """

    object: str
    reading: float


@dataclass(frozen=True)
class Verified:
    """A description whose objects were checked.

    Attributes:
        sample: The prompt, with the description that is left.
        said: What the model said at first.
        kept: Objects that were confirmed.
        denied: Objects of which nothing is said any more.
    """

    sample: Sample
    said: str
    kept: tuple[Checked, ...]
    denied: tuple[Checked, ...]


def describe_verified(
    adapter: Any, samples: Sequence[Sample], sampling: Sampling, read: Reader, parse: Parse, *, least: float
) -> list[Verified]:
    """Describe, check each object that is named, and leave out what is said of those that are denied.

    Args:
        adapter: A model that sees and writes.
        samples: Prompts with their images.
        sampling: How descriptions are sampled.
        read: What is read of each object, such as `OwnAnswer(adapter)`.
        parse: Which objects a text names, and where, such as `object_parser()`.
        least: Readings below it are taken for the object's absence.

    Source: checking a finished answer and correcting it is Woodpecker, Yin et al. 2023, arXiv:2310.16045, with other
    models as its judges; here the model is its own.
    """
    made = adapter.generate(samples, sampling)
    return verify(made, read, parse, least=least)


def verify(samples: Sequence[Sample], read: Reader, parse: Parse, *, least: float) -> list[Verified]:
    """The same for descriptions that are there already.

    Args:
        samples: Descriptions with their images.
        read: What is read of each object.
        parse: Which objects a text names, and where.
        least: Readings below it are taken for the object's absence.
    """
    named = [list(parse(str(sample.output))) for sample in samples]
    first = [list({one.object: one for one in reversed(some)}.values())[::-1] for some in named]
    readings = read(samples, first)
    return [_left(*row, least) for row in zip(samples, named, first, readings, strict=True)]


def _left(
    sample: Sample, named: Sequence[Mention], first: Sequence[Mention], readings: Sequence[float], least: float
) -> Verified:
    checked = [Checked(one.object, reading) for one, reading in zip(first, readings, strict=True)]
    denied = tuple(one for one in checked if one.reading < least)
    kept = tuple(one for one in checked if one.reading >= least)
    said = str(sample.output)
    return Verified(replace(sample, output=without(said, named, {one.object for one in denied})), said, kept, denied)
