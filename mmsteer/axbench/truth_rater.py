"""Ratings of steered captions and clips by what is known of their images and prompts; nothing is learned or asked."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mmsteer.adapters import AnyAdapter
from mmsteer.axbench.concepts import Concept
from mmsteer.axbench.judges import BLANK, Rating
from mmsteer.eval.chair_parser import mentioned, object_parser
from mmsteer.eval.rewards import parse_output_reward, rate_outputs
from mmsteer.eval.text import Reference
from mmsteer.eval.text.loops import find_loop
from mmsteer.likelihood import output_likelihood
from mmsteer.types import Sample

BATCH = 16
LOOSE = 0.25
"""By what share an output may be less likely a token than nearly all unsteered ones, and still have one mark."""
HALF = 0.5


class TruthRater:
    """Ratings by evaluators of objects, and of notes, instruments and whatever else a prompt names.

    *Concept*: 2 where a caption names the object, as CHAIR reads it, or an evaluator reads the concept from the audio,
    else 0. *Instruction*: of a caption 1 where it names half of the image's objects or more, and 1 more where besides
    the concept it names none that is not there; of a clip 1 where half of what its prompt names is read from the audio,
    2 where all of it is. *Fluency*: nats a token under the unsteered model, given the instruction: 2 up to where nine
    tenths of unsteered outputs lie, 1 up to a quarter more; 0 for a caption that ends in a loop.

    Args:
        adapter: The model, unsteered.
        plain: Instructions with unsteered outputs, which the mark of fluency is set by.
        references: What is true of each instruction, by its id.
    """

    name = "offline (evaluators and the world's truth)"

    def __init__(self, adapter: AnyAdapter, plain: Sequence[Sample], references: Mapping[str, Reference]) -> None:
        self._adapter, self._references = adapter, references
        self._parse = object_parser()
        self._usual = float(np.quantile(self._nats([one for one in plain if _has_output(one)]), 0.9))

    def rate(self, concept: Concept, asked: Sequence[Sample]) -> list[Rating]:
        """See `Rater.rate`.

        Args:
            concept: The concept: an object, or a reward of clips such as `note:C`.
            asked: Instructions with outputs.
        """
        made = [one for one in asked if _has_output(one)]
        if not made:
            return [BLANK] * len(asked)
        follows = self._described if self._adapter.output_kind == "text" else self._heard
        columns = (self._there(concept, made), follows(concept, made), self._fluent(made))
        found = iter([Rating(*values) for values in zip(*columns, strict=True)])
        return [next(found) if _has_output(one) else BLANK for one in asked]

    def _there(self, concept: Concept, made: Sequence[Sample]) -> list[float]:
        name = f"mentions:{concept.text}" if self._adapter.output_kind == "text" else concept.text
        # A clip in which nothing can be read does not have the concept.
        return [2.0 * (value or 0.0) for value in self._values(name, made)]

    def _described(self, concept: Concept, made: Sequence[Sample]) -> list[float]:
        return [self._one_described(concept, one) for one in made]

    def _one_described(self, concept: Concept, one: Sample) -> float:
        there = self._references[one.id].objects or frozenset()
        named = mentioned(self._parse, [str(one.output)]) - {concept.text}
        recalled = len(named & there) >= HALF * len(there)
        return float(recalled) + float(bool(named) and named <= there)

    def _heard(self, concept: Concept, made: Sequence[Sample]) -> list[float]:
        asked = sorted({name for one in made for name in self._references[one.id].attributes})
        columns = [self._values(name, made) for name in asked if not concept.text.startswith(f"{name}:")]
        shares = [np.mean([value or 0.0 for value in row]) for row in zip(*columns, strict=True)]
        return [float(share >= HALF) + float(share == 1.0) for share in shares]

    def _fluent(self, made: Sequence[Sample]) -> list[float]:
        nats = self._nats(made)
        loops = [isinstance(one.output, str) and find_loop(one.output) is not None for one in made]
        marks = (nats <= self._usual * (1 + LOOSE)).astype(float) + (nats <= self._usual)
        return [0.0 if loop else float(mark) for loop, mark in zip(loops, marks, strict=True)]

    def _values(self, reward: str, made: Sequence[Sample]) -> list[float | None]:
        rates = parse_output_reward(reward, self._adapter.output_kind)
        references = [self._references[one.id] for one in made]
        return rate_outputs(rates, [one.output for one in made], references, self._adapter.sample_rate)

    def _nats(self, made: Sequence[Sample]) -> NDArray[np.float64]:
        parts = [made[at : at + BATCH] for at in range(0, len(made), BATCH)]
        terms = np.concatenate([output_likelihood(self._adapter, part).numpy() for part in parts])
        return np.asarray(-terms[:, 0] / np.maximum(terms[:, 1], 1))


def _has_output(one: Sample) -> bool:
    return bool(one.output.strip()) if isinstance(one.output, str) else one.output is not None
