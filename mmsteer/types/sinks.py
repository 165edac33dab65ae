"""Attention sinks: tokens whose state is so large that a mean over tokens is theirs.

A language model parks attention that it does not need on a token, mostly the first, whose state then has a norm far
beyond all others and one fixed orientation. The rule is by norm alone, so that nothing changes where there are none.

Source: Xiao et al. 2024, arXiv:2309.17453; Sun et al. 2024 (massive activations), arXiv:2402.17762.
"""

import torch
from torch import Tensor

from mmsteer.types.positions import Kind, Positions, Tokens

SINK = 20.0
"""Times the median norm of its row, beyond which a token is a sink.

It lies in a gap. In the residual stream usual tokens measure up to 3.4 medians (SmolLM2-135M and the bundled models),
and the outputs of single MLPs up to 10.9; the first token of SmolLM2-135M measures 35 to 211 in layers 11 to 27.
"""


def sink_mask(norms: Tensor, tokens: Tokens, positions: Positions) -> Tensor:
    """Which tokens are sinks that nobody asked for, (rows, tokens) bool.

    Args:
        norms: Of the hidden states, (rows, tokens).
        tokens: What the tokens are.
        positions: Where they name `first`, the first token is asked for and counts as any other.
    """
    kinds = tokens.kinds.to(norms.device)
    real = norms.masked_fill(kinds == int(Kind.PADDING), torch.nan)
    sinks = norms > SINK * real.nanmedian(dim=1, keepdim=True).values
    return sinks & ((kinds & int(Kind.FIRST)) == 0) if positions.names("first") else sinks


def without_sinks(chosen: Tensor, sinks: Tensor) -> Tensor:
    """The chosen tokens less sinks, (rows, tokens) bool; a row of which only sinks are chosen keeps them.

    Args:
        chosen: (rows, tokens) bool.
        sinks: (rows, tokens) bool.
    """
    kept = chosen & ~sinks
    return torch.where(kept.any(dim=1, keepdim=True), kept, chosen)
