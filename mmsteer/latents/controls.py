"""Adding what was chosen, and what stands beside it: random directions and random features, as strong."""

from collections.abc import Sequence

import torch

from mmsteer.errors import DictionaryError
from mmsteer.sae import SparseDictionary, Usage, combined_direction, feature_direction, natural_strength
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Direction, Positions, random_direction


def added(directions: Sequence[Direction], positions: Positions, multiple: float = 1.0) -> Steering:
    """Combined directions, each added with its natural strength.

    `directions`: from `combined_direction`.
    """
    return Steering(tuple(_attribute(one, natural_strength(one) * multiple, positions) for one in directions))


def at_maximum(dictionary: SparseDictionary, feature: int, used: Usage, factor: float = 1.0) -> Attribute:
    """A feature, added at every token as strongly as it was ever active.

    `used`: what `usage` counted; it has the largest activations.

    Source: h + factor · maximum · row, Kuznetsov et al. 2025, arXiv:2503.03601.
    """
    length = factor * float(used.maximum[feature] * dictionary.decoder[feature].norm())
    return Attribute(feature_direction(dictionary, feature, used), length, unit="absolute")


def controls(
    directions: Sequence[Direction],
    twins: Sequence[Direction],
    positions: Positions,
    multiple: float = 1.0,
    seed: int = 0,
) -> dict[str, Steering]:
    """What combined directions are held against, as strong as they are.

    `directions`: from `combined_direction`; each has a random direction of its own, because one vector at several
    sites would add up.
    `twins`: from `twin`, one each.
    """
    drawn = tuple(
        _attribute(random_direction(one, seed + 1_000_003 * place), natural_strength(one) * multiple, positions)
        for place, one in enumerate(directions)
    )
    return {"random direction": Steering(drawn), "random features": added(twins, positions, multiple)}


def twin(
    dictionary: SparseDictionary, direction: Direction, features: Sequence[int], used: Usage, seed: int = 0
) -> Direction:
    """As many random features of the same dictionary, in equal parts, as strong together.

    `direction`: what the control stands beside, from `combined_direction`.
    `used`: what `usage` counted; only features that are ever active are drawn.
    """
    others = random_features(used, len(features), without=features, seed=seed)
    units = torch.stack([dictionary.direction(one) for one in others]).double()
    share = natural_strength(direction) / units.sum(dim=0).norm()
    lengths = dictionary.decoder[others].double().norm(dim=1)
    return combined_direction(dictionary, others, share / lengths, used, f"random-features:{direction.name}")


def random_features(used: Usage, k: int, *, without: Sequence[int] = (), seed: int = 0) -> list[int]:
    """Features drawn from those that are ever active.

    `used`: what `usage` counted.
    `without`: features that are left out, such as those that were chosen.

    Raises:
        DictionaryError: There are not as many.
    """
    alive = sorted(set(torch.nonzero(used.density > 0).flatten().tolist()) - set(without))
    if len(alive) < k:
        raise DictionaryError(f"{k} features were asked for as a control, and {len(alive)} others are ever active")
    order = torch.randperm(len(alive), generator=torch.Generator().manual_seed(seed))
    return [alive[place] for place in order[:k].tolist()]


def _attribute(direction: Direction, strength: float, positions: Positions) -> Attribute:
    return Attribute(direction, strength, positions=positions, unit="absolute")
