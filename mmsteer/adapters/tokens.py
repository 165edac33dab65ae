"""What the tokens of a forward are: image, prompt, text, generated, first, last."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmsteer.types import Forward, Kind


def text_kinds(forward: Forward, real: Tensor, begun: Tensor, image: Tensor, prompt: int) -> Tensor:
    """Kinds of the tokens of a language model's forward.

    `real`: which of its tokens are not padding, (rows, tokens) bool.
    `begun`: which rows have tokens before it, (rows, 1) bool.
    `image`: which stand for images, (rows, tokens) bool.
    `prompt`: how many tokens of the sequence are given.

    Returns:
        `Kind` flags, (rows, tokens) int.
    """
    place = int(forward.start) + torch.arange(forward.width, device=real.device)
    given = real & (place < prompt)
    kinds = torch.where(place < prompt, int(Kind.PROMPT), int(Kind.GENERATED)).expand_as(real)
    kinds = kinds + torch.where(image & given, int(Kind.IMAGE), int(Kind.TEXT))
    kinds = kinds + int(Kind.FIRST) * (real & (real.cumsum(1) == 1) & ~begun)
    last = torch.where(given, place, -1).amax(dim=1, keepdim=True)
    # A prompt's last token may be in a later forward, where the prompt comes in chunks.
    ends = prompt <= int(forward.start) + forward.width
    kinds = kinds + int(Kind.LAST) * (given & (place == last) & ends)
    return kinds.masked_fill(~real, int(Kind.PADDING))


def image_kinds(forward: Forward, real: Tensor, first: Tensor) -> Tensor:
    """Kinds of the tokens of a vision tower's forward: all are of an image.

    `real`: which are not padding, (rows, tokens) bool.
    `first`: which stand for a whole image or tile, (tokens,) bool.

    Returns:
        `Kind` flags, (rows, tokens) int.
    """
    kinds = int(Kind.IMAGE) + int(Kind.FIRST) * first.expand(forward.rows, -1)
    return kinds.masked_fill(~real, int(Kind.PADDING))


def real_tokens(forward: Forward, mask: Any, device: torch.device) -> Tensor:
    """Which tokens of a forward are not padding, (rows, tokens) bool.

    A mask of two dimensions says so; in one of four a padding token is one that may not see itself.

    `mask`: the attention mask that it was given, in any of transformers' forms.
    `device`: Where to answer.
    """
    mask = _of_full_attention(mask)
    if mask is None:
        return torch.ones(forward.rows, forward.width, dtype=torch.bool, device=device)
    start = int(forward.start)
    if mask.ndim == 2:
        seen = mask[:, start : start + forward.width] != 0
    else:
        seen = _is_seen(mask[:, 0].diagonal(offset=start, dim1=1, dim2=2))
    return seen.expand(forward.rows, -1).to(device)


def begun_rows(forward: Forward, mask: Any, real: Tensor) -> Tensor:
    """Which rows have tokens that are not padding before a forward, (rows, 1) bool.

    In a mask of four dimensions they are those that a token of the forward may see.

    `mask`: the attention mask that it was given, in any of transformers' forms.
    `real`: which of its tokens are not padding, (rows, tokens) bool.
    """
    mask, start = _of_full_attention(mask), int(forward.start)
    if mask is None:
        return torch.full_like(real[:, :1], start > 0)
    if mask.ndim == 2:
        before = mask[:, :start] != 0
    else:
        before = (_is_seen(mask[:, 0, :, :start]) & real.to(mask.device)[:, :, None]).any(1)
    return before.any(1, keepdim=True).expand(forward.rows, -1).to(real.device)


def _of_full_attention(mask: Any) -> Any:
    return mask.get("full_attention", next(iter(mask.values()))) if isinstance(mask, Mapping) else mask


def _is_seen(mask: Tensor) -> Tensor:
    return mask if mask.dtype == torch.bool else mask == 0
