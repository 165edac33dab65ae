"""Finders of a concept, as AxBench compares them: each reads a concept from states and steers with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmsteer.axbench.material import Material
from mmsteer.bundled.dictionary import open_dictionary
from mmsteer.probes import RFM, Logistic
from mmsteer.probes.lat import tomography
from mmsteer.probes.pca import principal_direction
from mmsteer.sae.selectors import auroc
from mmsteer.steering import Attribute, Steering
from mmsteer.tuning import (
    AdditiveVectors,
    GatedVectors,
    Likelihood,
    LowRankEdits,
    Objective,
    Preference,
    Schedule,
    train,
)
from mmsteer.types import Direction, Sample, SiteStats

Reading = Callable[[Tensor], Tensor]
"""From the states of a sample, (tokens, width), to what is found in each token, (tokens,)."""


@dataclass(frozen=True, eq=False)
class Found:
    """A concept as one method knows it.

    Attributes:
        steered: Applied at a factor of one.
        reading: What is found in each token.
        scale: What a factor of one is: the largest reading in training answers with the concept, as a length; 1 for
            edits, which have their own.
        note: What was chosen on the way, in words.
    """

    steered: Attribute
    reading: Reading
    scale: float
    note: str = ""

    def score(self, states: Tensor) -> float:
        """How much of the concept is in a sample: the most in any token.

        Args:
            states: Of its tokens, (tokens, width).
        """
        return float(self.reading(states).max())

    def steering(self, factor: float) -> Steering:
        """The concept, so strong.

        Args:
            factor: Multiples of `scale`.
        """
        return Steering((replace(self.steered, strength=self.steered.strength * factor),))


@dataclass(frozen=True)
class Budget:
    """What training may cost: the same for every method that is trained.

    Attributes:
        steps: Steps of the optimiser.
        batch: Answers a step.
        dictionary: Of sparse features, by name; for `sae-a`.
        folder: Of checkpoints; None keeps none.
        seed: Of starts and orders.
    """

    steps: int
    batch: int
    dictionary: str | None
    folder: Path | None
    seed: int


def diff_mean(material: Material, budget: Budget) -> Found:
    """Difference of the means of tokens."""
    x, y = material.tokens()
    return _vector(material, x[y].double().mean(0) - x[~y].double().mean(0))


def pca(material: Material, budget: Budget) -> Found:
    """First component of the tokens of answers with the concept, about their mean."""
    x, y = material.tokens()
    return _vector(material, principal_direction(x, y.float(), None, own=True))


def lat(material: Material, budget: Budget) -> Found:
    """First component of random differences of length 1."""
    x, y = material.tokens()
    return _vector(material, tomography(x, y.float(), None, np.random.default_rng(budget.seed)))


def probe(material: Material, budget: Budget) -> Found:
    """Weight of a logistic regression on tokens."""
    x, y = material.tokens()
    fitted = Logistic(seed=budget.seed).fit(x, y.tolist(), task="binary")
    return _vector(material, fitted.directions["yes"])


def rfm(material: Material, budget: Budget) -> Found:
    """Recursive feature machine on the means of answers: a kernel of all tokens would cost the cube of their number."""
    sides = [torch.stack([one.mean(0) for one in side]) for side in material.states]
    y = [True] * len(sides[0]) + [False] * len(sides[1])
    fitted = RFM(draws=5, iterations=5, seed=budget.seed).fit(torch.cat(sides), y, task="binary")
    return _vector(material, fitted.directions["yes"])


def sae_a(material: Material, budget: Budget) -> Found:
    """The feature of a sparse dictionary whose largest activation in an answer has the highest AUROC."""
    assert budget.dictionary is not None
    dictionary = open_dictionary(budget.dictionary, material.site)
    sides = [[dictionary.encode(one).amax(0) for one in side] for side in material.states]
    y = torch.arange(sum(map(len, sides))) < len(sides[0])
    areas = auroc(torch.stack([*sides[0], *sides[1]]), y.float())
    chosen = int(areas.argmax())
    row = dictionary.decoder[chosen]

    def activation(states: Tensor) -> Tensor:
        return dictionary.encode(states)[:, chosen]

    note = f"feature {chosen}, AUROC {float(areas[chosen]) + 0.5:.2f} in training"
    return _vector(material, row, activation, factor=float(row.norm()), note=note)


def chance(material: Material, budget: Budget) -> Found:
    """A random vector, another one for each concept: what the dose alone does."""
    drawn = np.random.default_rng([budget.seed, *str(material.concept.id).encode()])
    return _vector(material, torch.from_numpy(drawn.standard_normal(material.adapter.widths[material.site])))


def ssv(material: Material, budget: Budget) -> Found:
    """A vector that makes the answers likely."""
    return _trained(material, budget, "ssv", AdditiveVectors(material.where), 0.02)


def reft_r1(material: Material, budget: Budget) -> Found:
    """A vector that reads its own strength while it makes the answers likely; it finds nothing below zero."""
    found = _trained(material, budget, "reft-r1", GatedVectors(material.where, seed=budget.seed), 0.1)
    return replace(found, reading=lambda states: found.reading(states).relu())


def loreft(material: Material, budget: Budget) -> Found:
    """A low-rank edit that makes the answers likely; it is read inside the dimensions that it writes.

    There the direction is the difference of the means of tokens. AxBench reports no detection of LoReFT.
    """
    found = _trained(material, budget, "loreft", LowRankEdits(material.where, seed=budget.seed), 0.02)
    (edit,) = found.steered.direction.edits.values()
    x, y = material.tokens()
    inside = edit.write.T @ (edit.write @ (x[y].mean(0) - x[~y].mean(0)))
    return replace(found, reading=_along(inside / inside.norm()))


def bipo(material: Material, budget: Budget) -> Found:
    """A vector that prefers answers with the concept, in both signs."""
    mine, others = material.positive, material.negative
    # An answer to the same instruction where there is one.
    of = {one.prompt: one.output for one in others}
    worse = [
        Sample(one.id, one.prompt, output=of.get(one.prompt, others[at % len(others)].output))
        for at, one in enumerate(mine)
    ]
    objective = Preference(mine, worse, max(1, budget.batch // 2), budget.seed)
    return _trained(material, budget, "bipo", AdditiveVectors(material.where), 0.02, objective)


Find = Callable[[Material, Budget], Found]
FINDERS: Mapping[str, Find] = {
    "diff-mean": diff_mean,
    "pca": pca,
    "lat": lat,
    "probe": probe,
    "rfm": rfm,
    "sae-a": sae_a,
    "ssv": ssv,
    "reft-r1": reft_r1,
    "loreft": loreft,
    "bipo": bipo,
    "random": chance,
}
BASELINES = ("prompt", "lora")
"""What steers without finding anything in states."""
METHODS = (*FINDERS, *BASELINES)


def _trained(
    material: Material,
    budget: Budget,
    name: str,
    vectors: AdditiveVectors,
    rate: float,
    objective: Objective | None = None,
) -> Found:
    log = train(
        vectors,
        objective or Likelihood(material.positive, budget.batch, budget.seed),
        Schedule(budget.steps, rate),
        settings={"method": name, "concept": material.concept.id, "seed": budget.seed, "batch": budget.batch},
        folder=budget.folder and budget.folder / f"{material.concept.id}-{budget.seed}-{name}",
    )
    direction = vectors.direction(f"{name}:{material.concept.id}", {"probe": name})
    note = f"loss {log[0]['loss']:.2f} to {log[-1]['loss']:.2f}"
    if not direction.edits:
        return _vector(material, direction.vectors[material.site], note=note)
    steered = Attribute(direction, 1.0, positions=material.steered, unit="trained")
    return Found(steered, _along(direction.vectors[material.site]), 1.0, note)


def _along(vector: Tensor) -> Reading:
    return lambda states: states @ vector


def _vector(
    material: Material, vector: Tensor, reading: Reading | None = None, factor: float = 1.0, note: str = ""
) -> Found:
    """A vector as a concept: a factor of one adds the largest reading in answers with the concept.

    Where that is not above zero, it is the site's typical norm.
    """
    unit = (vector / vector.norm()).float()
    read = reading or _along(unit)
    largest = factor * max(float(read(one).max()) for one in material.states[0])
    scale = largest if largest > 0 else material.norm
    stats = SiteStats(None, 0.0, 1.0, material.norm)
    adapter = material.adapter
    name = f"concept:{material.concept.id}"
    direction = Direction(name, {material.site: unit}, {material.site: stats}, adapter.fingerprint)
    return Found(Attribute(direction, scale, positions=material.steered, unit="absolute"), read, scale, note)
