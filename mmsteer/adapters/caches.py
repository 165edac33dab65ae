"""Keys and values of earlier tokens, whatever transformers calls them.

The argument is `past_key_values` up to transformers 5.23 and `cache` from 5.24 on; state-space models had
`cache_params`.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from mmsteer.errors import AdapterError

NAMES = ("cache", "past_key_values", "cache_params")


def cache_name(model: Any) -> str:
    """What the forward of a model calls its cache.

    Args:
        model: The model.
    """
    takes = inspect.signature(model.forward).parameters
    return next((name for name in NAMES if name in takes), NAMES[0])


def cached_tokens(arguments: Mapping[str, Any]) -> Any:
    """How many tokens the cache of a forward holds; a tensor where the cache is static.

    Args:
        arguments: Of the forward, by name.

    Raises:
        AdapterError: The cache is that of continuous batching.
    """
    cache = cache_of(arguments)
    if cache is None:
        return 0
    if not hasattr(cache, "get_seq_length"):
        raise AdapterError(
            f"the model runs on a {type(cache).__name__}, which packs the tokens of several requests into one row, so "
            "that steering cannot tell them apart; leave continuous batching, and call generate with a padded batch"
        )
    return cache.get_seq_length()


def cache_of(arguments: Mapping[str, Any]) -> Any:
    """The cache of a forward; None for none.

    Args:
        arguments: Of the forward, by name.
    """
    return next((arguments[name] for name in NAMES if arguments.get(name) is not None), None)
