"""Keys and values of earlier tokens, whatever transformers calls them.

The argument is `past_key_values` up to transformers 5.23 and `cache` from 5.24 on; state-space models had
`cache_params`.

The cache of a recurrent model, such as Mamba, holds no tokens and no count of them, so its forwards are counted here.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import transformers
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from mmsteer.errors import AdapterError

NAMES = ("cache", "past_key_values", "cache_params")


def cache_name(model: Any) -> str:
    """What the forward of a model calls its cache."""
    takes = inspect.signature(model.forward).parameters
    return next((name for name in NAMES if name in takes), NAMES[0])


def cached_tokens(arguments: Mapping[str, Any]) -> Any:
    """How many tokens the cache of a forward holds; a tensor where the cache is static, or xLSTM's.

    Raises:
        AdapterError: The cache is that of continuous batching, or holds no count of its tokens.
    """
    cache = cache_of(arguments)
    if cache is None:
        return 0
    if hasattr(cache, "seqlen_offset"):
        # xLSTM's count; in later releases a tensor that its forward adds to in place.
        count = cache.seqlen_offset
        return count.clone() if isinstance(count, Tensor) else count
    if not hasattr(cache, "get_seq_length") and "Paged" not in type(cache).__name__:
        raise AdapterError(
            f"the model runs on a {type(cache).__name__}, which does not say how many tokens it holds, so that steps "
            f"cannot be counted; newer releases of transformers may, this is {transformers.__version__}"
        )
    if not hasattr(cache, "get_seq_length"):
        raise AdapterError(
            f"the model runs on a {type(cache).__name__}, which packs the tokens of several requests into one row, so "
            "that steering cannot tell them apart; leave continuous batching, and call generate with a padded batch"
        )
    if isinstance(cache, Cache) and _is_recurrent(cache):
        return _counted(cache, arguments.get("input_ids"))
    return cache.get_seq_length()


def cache_of(arguments: Mapping[str, Any]) -> Any:
    """The cache of a forward; None for none."""
    return next((arguments[name] for name in NAMES if arguments.get(name) is not None), None)


@dataclass(frozen=True)
class _Count:
    """How many tokens a cache had seen before its latest forward, and the tokens of that forward."""

    before: int
    latest: Tensor


_COUNTS: WeakKeyDictionary[Cache, _Count] = WeakKeyDictionary()


def _is_recurrent(cache: Cache) -> bool:
    # A hybrid's layers with attention know the length of their own.
    layers = getattr(cache, "layers", ())
    return len(layers) > 0 and not any(isinstance(layer, CacheLayerMixin) for layer in layers)


def _counted(cache: Cache, tokens: Tensor | None) -> int:
    """How many tokens a recurrent cache has seen before these.

    Raises:
        AdapterError: It has seen some that were not counted, or these are embeddings.
    """
    known = _COUNTS.get(cache)
    if tokens is None or (known is None and cache.has_previous_state()):
        raise AdapterError(
            "the cache of a recurrent model does not say how many tokens it has seen; give the model input_ids, and "
            "begin each sequence inside the `with`"
        )
    if known is None:
        known = _Count(0, tokens)
    elif known.latest is not tokens:  # else another clock asks about the same forward
        known = _Count(known.before + known.latest.shape[1], tokens)
    _COUNTS[cache] = known
    return known.before
