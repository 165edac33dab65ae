"""Whether output scores predict which features steer: features added at one dose, before and after filtering."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmsteer.adapters import AnyAdapter
from mmsteer.latents.material import Material
from mmsteer.latents.maximal import Maximal
from mmsteer.latents.output_evaluation import matched
from mmsteer.latents.scores import STEERABLE, FeatureScore
from mmsteer.latents.vocabulary import top_tokens
from mmsteer.sae import SparseDictionary, Usage, feature_direction
from mmsteer.steering import steer
from mmsteer.types import Sample, mean_score

ALIVE = (0.001, 0.25)
"""Densities between which a feature is neither dead nor dense."""
DOSE = 0.5
AT_ONCE = 8


@dataclass(frozen=True)
class Moved:
    """What adding a feature at the dose changes.

    `promoted`: the share of output tokens that its decoder row promotes, over all heads: what the paper counts.
    `described`: the share of outputs, or of their words, that is what its top activating moments have in common; no
    head plays a part in it. None where nothing is known.
    """

    promoted: float
    described: float | None


def draw_features(used: Usage, count: int, seed: int) -> list[int]:
    """Features that are neither dead nor dense, at random.

    `count`: how many, at most.
    """
    alive = torch.nonzero((used.density >= ALIVE[0]) & (used.density <= ALIVE[1])).flatten()
    order = torch.randperm(len(alive), generator=torch.Generator().manual_seed(seed))
    return sorted(alive[order[:count]].tolist())


def moved_by(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    used: Usage,
    given: Material,
    found: Sequence[Maximal],
    say: Callable[[str], None] = lambda _: None,
) -> dict[int, Moved]:
    """What each feature moves when it is added at 0.5 nats; those that cannot be brought to it are left out.

    `given`: what is generated from, and how it is judged.
    """
    plain = given.generate(given.prompts)
    directions = [feature_direction(dictionary, one.feature, used) for one in found]
    doses = matched(adapter, directions, given.contexts, (DOSE,), signs=(1,), operator="add", start=0.3 * used.norm)
    known = [(one, dose.steering) for one, [dose] in zip(found, doses, strict=True) if dose.steering is not None]
    moved: dict[int, Moved] = {}
    for start in range(0, len(known), AT_ONCE):
        say(f"Steering features: {start} of {len(known)}")
        some = known[start : start + AT_ONCE]
        with steer(adapter, [push for _, push in some for _ in given.prompts]):
            made = given.generate([prompt for _ in some for prompt in given.prompts])
        for at, (one, _) in enumerate(some):
            mine = made[at * len(plain) : (at + 1) * len(plain)]
            moved[one.feature] = _moved(adapter, dictionary, given, one, mine, plain)
    return moved


def filtered(
    moved: Mapping[int, Moved], into: Mapping[int, FeatureScore], out: Mapping[int, FeatureScore]
) -> list[dict[str, object]]:
    """Mean effects of the features that each filter keeps, with intervals over features."""
    known = list(moved)
    by_output = sorted(known, key=lambda feature: out[feature].maximum or 0.0)
    by_input = sorted((one for one in known if into[one].heads), key=lambda feature: into[feature].maximum or 0.0)
    kept = {
        "all": known,
        f"S_out >= {STEERABLE}": [one for one in known if (out[one].maximum or 0.0) >= STEERABLE],
        "upper half by S_out": by_output[len(by_output) // 2 :],
        "lower half by S_out": by_output[: len(by_output) // 2],
        "upper half by S_in": by_input[len(by_input) // 2 :],
        "lower half by S_in": by_input[: len(by_input) // 2],
    }
    return [
        {"features": name, "n": len(some)}
        | {effect: mean_score([getattr(moved[one], effect) for one in some]) for effect in ("promoted", "described")}
        for name, some in kept.items()
    ]


def _moved(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    given: Material,
    found: Maximal,
    after: Sequence[Sample],
    before: Sequence[Sample],
) -> Moved:
    promoted = top_tokens(adapter, dictionary, [found.feature], count=given.promotes)[0]
    shares = [float(np.mean([_share(adapter, one, promoted) for one in side])) for side in (after, before)]
    if not found.moments:
        return Moved(shares[0] - shares[1], None)
    described = given.describe(found)
    judged = zip(given.share(described, after), given.share(described, before), strict=True)
    return Moved(
        shares[0] - shares[1], mean_score([a - b if a is not None and b is not None else None for a, b in judged]).value
    )


def _share(adapter: AnyAdapter, output: Sample, promoted: Tensor) -> float:
    """How many of an output's tokens a feature promotes, over all heads."""
    reading = adapter.reading([output])
    tokens = adapter.tokens(reading)[0, reading.call.prompt :]
    return float((tokens[:, :, None] == promoted).any(dim=-1).double().mean()) if len(tokens) else 0.0
