"""Several features as one direction: what is added to the state for each of them adds up to one vector."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.sae.dictionary import SparseDictionary
from mmsteer.sae.usage import Usage
from mmsteer.types import Direction, SiteStats

STRENGTH = "strength"
"""The key of a combined direction's natural strength in its provenance: absolute, as a number in a string."""


def combined_direction(
    dictionary: SparseDictionary, features: Sequence[int], coefficients: Tensor, used: Usage, name: str
) -> Direction:
    """The unit vector along Σ c_i row_i; the norm of the sum is its natural strength, in its provenance.

    Mean and spread of the projection are those of the dictionary's reconstruction, with features that vary
    independently of one another.

    Args:
        dictionary: A dictionary that knows its site and model.
        features: Which features, (k,).
        coefficients: How strong each is, in units of its activation, (k,).
        used: What `usage` counted.
        name: `family:label`.

    Raises:
        DictionaryError: The dictionary names no site or model, a feature is missing or has no coefficient, or the sum
            is zero.
    """
    if dictionary.site is None or dictionary.model is None:
        raise DictionaryError("the dictionary names no site or no model; say which with dictionary.at(site, model)")
    summed = _sum(dictionary, features, coefficients)
    strength = float(summed.norm())
    if not 0 < strength < torch.inf:
        raise DictionaryError(f"features {list(features)} with coefficients {coefficients.tolist()} add up to nothing")
    vector = (summed / strength).float().cpu()
    written = ", ".join(f"{feature}:{float(c):.6g}" for feature, c in zip(features, coefficients, strict=True))
    return Direction(
        name,
        {dictionary.site: vector},
        {dictionary.site: _stats(dictionary, vector, used)},
        dictionary.model,
        {**dictionary.provenance, "probe": "sae", "features": written, STRENGTH: repr(strength)},
        sketch=dictionary.sketch,
        compatibility=dictionary.compatibility,
    )


def natural_strength(direction: Direction) -> float:
    """How far a combined direction is meant to push, absolute.

    Args:
        direction: From `combined_direction`.

    Raises:
        DictionaryError: It is no combined direction.
    """
    if STRENGTH not in direction.provenance:
        raise DictionaryError(f"direction {direction.name!r} has no natural strength; combined_direction makes such")
    return float(direction.provenance[STRENGTH])


def _sum(dictionary: SparseDictionary, features: Sequence[int], coefficients: Tensor) -> Tensor:
    # Σ c_i row_i, (width,) float64.
    if len(features) != len(coefficients) or not all(0 <= one < dictionary.features for one in features):
        raise DictionaryError(
            f"features {list(features)} with {len(coefficients)} coefficients; give one each, for features 0 to "
            f"{dictionary.features - 1}"
        )
    rows = dictionary.decoder[list(features)].double()
    return coefficients.to(rows) @ rows


def _stats(dictionary: SparseDictionary, vector: Tensor, used: Usage) -> SiteStats:
    seen = (dictionary.decoder.cpu() @ vector).double()
    mean = used.mean.double() @ seen + dictionary.decoder_bias.cpu().double() @ vector.double()
    spread = (used.spread.double() * seen).norm()
    return SiteStats(None, float(mean), float(spread), used.norm, used.norms)
