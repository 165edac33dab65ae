"""One digest of what steers: two values have the same where all that counts in them is the same."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from numbers import Real

import torch
from torch import Tensor


def content_digest(value: object) -> str:
    """A short hash of a steering, a direction, or another value of dataclasses, tensors and plain data.

    A dataclass counts by all its fields but those with `compare=False`, a mapping in any order, and a number by its
    value: 1 is 1.0.

    Args:
        value: The value.
    """
    return _digest(value).hex()[:16]


def _digest(value: object) -> bytes:
    if isinstance(value, Tensor):
        numbers = value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
        return _hash(f"{tuple(value.shape)} {value.dtype}", numbers)
    if isinstance(value, Mapping):
        return _hash("mapping", *sorted(_digest(pair) for pair in value.items()))
    if isinstance(value, list | tuple):
        return _hash("sequence", *map(_digest, value))
    if is_dataclass(value):
        counted = (getattr(value, one.name) for one in fields(value) if one.compare)
        return _hash(type(value).__qualname__, *map(_digest, counted))
    return _hash(repr(float(value) if isinstance(value, Real) else value))


def _hash(kind: str, *parts: bytes) -> bytes:
    # The kind is hashed by itself, so that what it ends with and what the parts begin with stay apart.
    return hashlib.sha256(hashlib.sha256(kind.encode()).digest() + b"".join(parts)).digest()
