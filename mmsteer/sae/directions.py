"""Features of a dictionary as directions that the engine steers and reads."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.sae.dictionary import SparseDictionary
from mmsteer.sae.usage import Usage
from mmsteer.types import Direction, Feature, SiteStats


def feature_direction(dictionary: SparseDictionary, feature: int, used: Usage, name: str = "") -> Direction:
    """A feature as a direction: it is written along its unit decoder row, and read as its encoder reads it.

    Activations come out in units of the unit row: one unit moves the hidden state by a length of one. Thus `clamp` to
    `3abs` makes z = 3 / |row| in the dictionary's own units, and h + (z' - z) row keeps what the dictionary misses.

    Args:
        dictionary: A dictionary with thresholds, that knows its site and model.
        feature: Its number, from 0.
        used: What `usage` counted.
        name: `family:label`; `sae:NUMBER` where it is left empty.

    Raises:
        DictionaryError: The dictionary keeps the k largest, so that no feature can be read alone; it names no site or
            model; or there is no such feature.
    """
    if dictionary.k is not None:
        raise DictionaryError(
            f"the dictionary keeps the {dictionary.k} largest features, so one feature cannot be read without all "
            "others; give it thresholds first: with_thresholds(dictionary, states)"
        )
    if dictionary.site is None or dictionary.model is None:
        raise DictionaryError("the dictionary names no site or no model; say which with dictionary.at(site, model)")
    direction, length = dictionary.direction(feature), float(dictionary.decoder[feature].norm())
    mean, spread = float(used.mean[feature]) * length, float(used.spread[feature]) * length
    read = Feature(
        (dictionary.encoder[:, feature] * length).contiguous(),
        float(dictionary.encoder_bias[feature]) * length,
        float(dictionary.threshold[feature]) * length,
    )
    return Direction(
        name or f"sae:{feature}",
        {dictionary.site: direction},
        {dictionary.site: SiteStats(None, mean, spread, used.norm, used.norms)},
        dictionary.model,
        {"probe": "sae", "feature": str(feature)} | dict(dictionary.provenance),
        {dictionary.site: read},
        dictionary.sketch,
        dictionary.compatibility,
    )


@torch.no_grad()
def with_thresholds(dictionary: SparseDictionary, batches: Iterable[Tensor]) -> SparseDictionary:
    """A dictionary that keeps the k largest, with one threshold in their place: as many are active on average.

    The threshold is chosen so that on these hidden states the same number of activations pass it.

    Args:
        dictionary: A dictionary with `k`; any other is returned as it is.
        batches: Hidden states, (rows, width) each.

    Raises:
        DictionaryError: There are no hidden states.

    Source: the inference threshold of BatchTopK, Bussmann et al. 2024, arXiv:2412.06410.
    """
    if dictionary.k is None:
        return dictionary
    # Of all features of all rows the rows * k largest pass: only the largest few of a row can be among them.
    kept = min(4 * dictionary.k, dictionary.features)
    free = replace(dictionary, k=None)
    largest = [
        free.encode(batch.to(dictionary.decoder.device)).topk(kept, dim=-1).values.flatten() for batch in batches
    ]
    if not largest:
        raise DictionaryError("there are no hidden states; a threshold is measured on at least one")
    values = torch.cat(largest).sort(descending=True).values
    threshold = float(values[min(len(values) // kept * dictionary.k, len(values)) - 1])
    return replace(free, threshold=torch.full_like(dictionary.threshold, threshold).nextafter(torch.zeros(())))
