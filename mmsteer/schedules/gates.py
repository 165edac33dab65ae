"""Random gates: steer at some steps only."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmsteer.errors import ScheduleError
from mmsteer.schedules.schedule import Array, Schedule, Span
from mmsteer.schedules.timeline import Timeline, number_text


@dataclass(frozen=True)
class Bernoulli(Schedule):
    """1 with probability p, else 0; the mean dose is p, so compare it with `p * constant(1)`.

    The gate depends on seed, step and layer alone: not on the batch, not on how long the output gets, and
    not on what else is random. Time passes at closed steps as at open ones. Two schedules of one seed open
    together.

    Attributes:
        p: Probability that a step is open.
        seed: Seed of the gate's own generator (PCG64).
        per: `step`: all layers open together; `layer`: every layer has a gate of its own.

    Source: Zhao et al. 2025, arXiv:2510.19127, section 3 (`step`); the released code draws per layer.
    """

    p: float
    seed: int
    per: Literal["step", "layer"] = "step"

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ScheduleError(f"the probability of a gate lies in 0..1, not {self.p}")
        if not 0 <= self.seed < 2**64 or self.seed != math.floor(self.seed):
            raise ScheduleError(f"the seed of a gate is a whole number from 0 to 2**64 - 1, not {self.seed}")
        if self.per not in ("step", "layer"):
            raise ScheduleError(f"a gate is drawn per step or per layer, not per {self.per!r}")

    def _sample(self, positions: Array, timeline: Timeline) -> Array:
        index = np.clip(np.floor(positions), 0, timeline.steps - 1).astype(np.int64)
        # One generator a layer, so that neither more steps nor other layers change what was drawn.
        gates = (0,) if self.per == "step" else timeline.layers
        seeds = [np.random.SeedSequence(self.seed, spawn_key=(gate,)) for gate in gates]
        draws = np.stack([np.random.Generator(np.random.PCG64(seed)).random(timeline.steps) for seed in seeds])
        return (draws < self.p).astype(np.float64)[:, index]

    def _span(self, timeline: Timeline) -> Span:
        return 0.0, float(timeline.steps)

    @property
    def is_flat(self) -> bool:
        """Where it is never open, or never closed."""
        return self.p in (0, 1)

    def _depends(self, *, beyond: bool) -> bool:
        # Past the end the last step's gate is held.
        return beyond and not self.is_flat

    def __str__(self) -> str:
        per = "" if self.per == "step" else ", layer"
        return f"bernoulli({number_text(self.p)}, {self.seed}{per})"
