"""What the tokens of a forward are: image, prompt, text, generated, first, last."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmsteer.types import Forward, Kind


def text_kinds(forward: Forward, real: Tensor, image: Tensor, prompt: int) -> Tensor:
    """Kinds of the tokens of a language model's forward.

    `real`: which of its tokens are not padding, (rows, tokens) bool.
    `image`: which stand for images, (rows, tokens) bool.
    `prompt`: how many tokens of the sequence are given.

    Returns:
        `Kind` flags, (rows, tokens) int.
    """
    place = int(forward.start) + torch.arange(forward.width, device=real.device)
    given = real & (place < prompt)
    kinds = torch.where(place < prompt, int(Kind.PROMPT), int(Kind.GENERATED)).expand_as(real)
    kinds = kinds + torch.where(image & given, int(Kind.IMAGE), int(Kind.TEXT))
    if int(forward.start) == 0:
        kinds = kinds + int(Kind.FIRST) * (real & (real.cumsum(1) == 1))
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
    if isinstance(mask, Mapping):
        mask = mask.get("full_attention", next(iter(mask.values())))
    if mask is None:
        return torch.ones(forward.rows, forward.width, dtype=torch.bool, device=device)
    start = int(forward.start)
    if mask.ndim == 2:
        seen = mask[:, start : start + forward.width] != 0
    else:
        itself = mask[:, 0].diagonal(offset=start, dim1=1, dim2=2)
        seen = itself if itself.dtype == torch.bool else itself == 0
    return seen.expand(forward.rows, -1).to(device)
