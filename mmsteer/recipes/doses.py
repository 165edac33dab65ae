"""The strength of a condition, and how far it moves the model: measured once, along unsteered outputs."""

from collections.abc import Sequence

from mmsteer.calibrate import calibrate, divergence
from mmsteer.steering import Steering
from mmsteer.types import Adapter, Sample

CONTEXTS = 4
"""Unsteered outputs along which the divergence is measured."""


def calibrated_factor(
    adapter: Adapter, steering: Steering, samples: Sequence[Sample], target: float | None, guidance: float
) -> float | None:
    """The factor that takes a steering to the strength that a condition asks for.

    Args:
        adapter: The model.
        steering: As the recipe writes it.
        samples: Contexts.
        target: Divergence in nats; None to leave the strengths as they are.
        guidance: Scale of guidance.
    """
    if target is None:
        return None
    return calibrate(adapter, steering, samples, target, guidance=guidance).factor


def mean_divergence(adapter: Adapter, steering: Steering, samples: Sequence[Sample], guidance: float) -> float | None:
    """Mean divergence a token in nats; None without contexts, or where nothing is steered.

    Args:
        adapter: The model.
        steering: What is applied.
        samples: Contexts.
        guidance: Scale of guidance.
    """
    if not samples or not steering.attributes:
        return None
    return float(divergence(adapter, steering, samples, guidance=guidance).mean())
