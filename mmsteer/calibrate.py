"""Strength as a dose: how far steering moves the next-token distribution, and the strength that moves it so far."""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.errors import SteeringError
from mmsteer.layouts import layouts
from mmsteer.steering import Steering, steer
from mmsteer.types import OUTPUT, Adapter, Reading, Sample, Tokens

MOST = 10
"""Evaluations after which a search that has not come to its target is given up."""


@dataclass(frozen=True)
class Dose:
    """A strength found for a target.

    Attributes:
        factor: What to multiply the strengths by.
        kl: The divergence that this gives, in nats.
        evaluations: Steered forwards that it took.
    """

    factor: float
    kl: float
    evaluations: int


def divergence(
    adapter: Adapter,
    steering: Steering,
    samples: Sequence[Sample],
    *,
    guidance: float = 1.0,
    steps: int | None = None,
) -> Tensor:
    """KL divergence of the steered from the unsteered next-token distribution, along given samples.

    The samples' own tokens are the context of both, so the number is the effect of one step, not of a drift. Only
    tokens that predict output count: the last of the prompt and those after it. Where a step predicts several
    codebooks their divergences add up.

    `steering`: what to apply.
    `samples`: contexts, such as clips or answers that the unsteered model made.
    `guidance`: scale of classifier-free guidance of the distribution that is compared.
    `steps`: how many output steps are allowed where the steering is used: schedules in percent are of them.

    Returns:
        Nats of each such token, sample after sample, (tokens,).
    """
    return divergence_along(adapter, samples, guidance=guidance, steps=steps)(steering)


def divergence_along(
    adapter: Adapter, samples: Sequence[Sample], *, guidance: float = 1.0, steps: int | None = None
) -> Callable[[Steering], Tensor]:
    """`divergence` of any number of steerings along the same samples, which the unsteered model reads once.

    `samples`: as for `divergence`; their unsteered log-probabilities are held, (samples, tokens, vocabulary).
    `guidance`: as for `divergence`.
    `steps`: as for `divergence`.
    """
    context = _context(adapter, samples, guidance, steps)
    return lambda steering: _steered_divergence(adapter, steering, context)


def calibrate(
    adapter: Adapter,
    steering: Steering,
    samples: Sequence[Sample],
    target: float,
    *,
    guidance: float = 1.0,
    steps: int | None = None,
    quantile: float = 0.95,
    tolerance: float = 0.05,
) -> Dose:
    """Find the factor of all strengths at which a quantile of the per-token divergence meets a target.

    The divergence grows about as the square of the strength, so the search runs on logarithms: the first guess assumes
    the square, the next ones take the slope between the last two.

    Args:
        adapter: The model.
        steering: Attributes with the strengths that factor 1 stands for.
        samples: Contexts, as for `divergence`.
        target: Nats.
        guidance: As for `divergence`.
        steps: As for `divergence`.
        quantile: Of the divergence over tokens and samples.
        tolerance: Relative error of the divergence that is good enough.

    Raises:
        SteeringError: The target is not above zero, or the divergence cannot be brought to it.

    Source: iso-KL calibration of steering strength, as in github.com/wassname/steering-lite.
    """
    if not target > 0:
        raise SteeringError(f"the target {target} nats is not above zero")
    context = _context(adapter, samples, guidance, steps)

    def measure(factor: float) -> float:
        found = _steered_divergence(adapter, steering.scaled(factor), context)
        return float(torch.quantile(found.double(), quantile))

    return _search(measure, target, tolerance)


def calibrate_each(
    adapter: Adapter,
    steerings: Sequence[Steering],
    samples: Sequence[Sample],
    target: float,
    *,
    quantile: float = 0.95,
    tolerance: float = 0.05,
    rows: int = 64,
) -> list[Dose | None]:
    """`calibrate` of many steerings, several of them in one batch; None for one that has no such strength.

    Args:
        adapter: The model.
        steerings: What to bring to the target, each by itself.
        samples: As for `calibrate`; every steering reads all of them.
        target: Nats.
        quantile: As for `calibrate`.
        tolerance: As for `calibrate`.
        rows: Rows of a batch.

    Raises:
        SteeringError: The target is not above zero.
    """
    if not target > 0:
        raise SteeringError(f"the target {target} nats is not above zero")
    searches = [_steps(target, tolerance) for _ in steerings]
    factors = {at: next(one) for at, one in enumerate(searches)}
    doses: list[Dose | None] = [None] * len(steerings)
    context, size = _context(adapter, samples, 1.0, None), max(1, rows // len(samples))
    while factors:
        waiting = dict(factors)
        for start in range(0, len(waiting), size):
            some = list(waiting.items())[start : start + size]
            pushes = [steerings[at].scaled(factor) for at, factor in some for _ in samples]
            kls = _steered_divergence(adapter, pushes, _repeated(adapter, samples, context, len(some)))
            for (at, _), kl in zip(some, kls.chunk(len(some)), strict=True):
                try:
                    factors[at] = searches[at].send(float(torch.quantile(kl.double(), quantile)))
                except StopIteration as end:
                    doses[at] = end.value
                    del factors[at]
                except SteeringError:
                    del factors[at]
    return doses


def _search(measure: Callable[[float], float], target: float, tolerance: float) -> Dose:
    steps = _steps(target, tolerance)
    factor = next(steps)
    while True:
        try:
            factor = steps.send(measure(factor))
        except StopIteration as end:
            found: Dose = end.value
            return found


def _steps(target: float, tolerance: float) -> Generator[float, float, Dose]:
    """Gives factors, is sent the divergence at each, and returns the dose.

    Raises:
        SteeringError: The divergence cannot be brought to the target.
    """
    factor, points = 1.0, list[tuple[float, float]]()
    for evaluation in range(1, MOST + 1):
        kl = yield factor
        if not 0 < kl < math.inf:
            raise SteeringError(
                f"at {factor:g} times the strengths the divergence is {kl:g} nats; nothing to calibrate"
            )
        if abs(kl / target - 1) <= tolerance:
            return Dose(factor, kl, evaluation)
        points.append((math.log(factor), math.log(kl)))
        factor = math.exp(_next(points, math.log(target)))
    raise SteeringError(
        f"no strength gives {target:g} nats within {MOST} tries; the last, {math.exp(points[-1][0]):g} times the "
        f"strengths, gave {math.exp(points[-1][1]):g}: ask for a smaller divergence"
    )


def _next(points: Sequence[tuple[float, float]], target: float) -> float:
    """The next logarithm of the factor: a secant, or the square law, and never more than a factor of 20 away."""
    x, y = points[-1]
    slope = 2.0
    if len(points) > 1:
        before_x, before_y = points[-2]
        slope = (y - before_y) / (x - before_x) if x != before_x else slope
    # The divergence saturates: a slope near zero would send the guess to infinity.
    return x + max(-3.0, min(3.0, (target - y) / max(slope, 0.3)))


@dataclass(frozen=True, eq=False)
class _Context:
    """What is compared: samples, the unsteered log-probabilities after each token, and which tokens count."""

    reading: Reading
    guidance: float
    plain: Tensor
    counts: Tensor


def _context(adapter: Adapter, samples: Sequence[Sample], guidance: float, steps: int | None) -> _Context:
    reading = adapter.reading(samples, guided=guidance > 1).within(steps)
    with layouts(adapter, adapter.generator, reading) as found:
        plain = _guided(adapter.read(reading), guidance)
    kinds = found[-1].kinds
    counts = OUTPUT.mask(Tokens(kinds, torch.arange(kinds.shape[1], device=kinds.device)))
    # Conditional rows come first; a conditioning prefix, before the tokens, has no logits.
    return _Context(reading, guidance, plain, counts[: plain.shape[0], -plain.shape[1] :].to(plain.device))


def _repeated(adapter: Adapter, samples: Sequence[Sample], context: _Context, times: int) -> _Context:
    """The same samples several times over, as one batch reads them."""
    reading = adapter.reading(list(samples) * times)
    shape = (times, *([1] * (context.plain.ndim - 1)))
    return _Context(reading, 1.0, context.plain.repeat(shape), context.counts.repeat(times, 1))


def _steered_divergence(adapter: Adapter, steering: Steering | Sequence[Steering], context: _Context) -> Tensor:
    with steer(adapter, steering) as session, session.call(context.reading.call):
        steered = _guided(adapter.read(context.reading), context.guidance)
    each = (steered.exp() * (steered - context.plain)).sum(dim=-1)
    return each.sum(dim=-1).clamp(min=0)[context.counts]


def _guided(logits: Tensor, guidance: float) -> Tensor:
    """Log-probabilities after guidance, in float32."""
    scores = logits.float()
    if guidance > 1:
        conditional, null = scores.chunk(2)
        scores = null + guidance * (conditional - null)
    return scores.log_softmax(dim=-1)
