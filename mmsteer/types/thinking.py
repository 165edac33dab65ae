"""Thinking models: which generated tokens are thoughts, and which are the answer behind them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from mmsteer.errors import PositionsError
from mmsteer.types.positions import Kind, Positions

TAGS: Final = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<thinking>", "</thinking>"),
)
"""What opens and closes thoughts, in the vocabularies of Qwen3 and DeepSeek-R1, Magistral, Command A and Seed."""


@dataclass(frozen=True)
class Marks:
    """The tokens around the thoughts of a model.

    Attributes:
        opening: The token that opens them.
        closing: The token that closes them.
        tags: Both as text.
    """

    opening: int
    closing: int
    tags: tuple[str, str]


def marks_in(vocabulary: Mapping[str, int]) -> Marks | None:
    """The tokens around the thoughts; None where a vocabulary has none.

    Args:
        vocabulary: Tokens by their text.
    """
    known = [tags for tags in TAGS if all(tag in vocabulary for tag in tags)]
    return Marks(vocabulary[known[0][0]], vocabulary[known[0][1]], known[0]) if known else None


def open_behind(ids: Tensor, marks: Marks, before: Tensor) -> Tensor:
    """Whether thoughts are open behind each token: the last mark up to it opens them. (rows, tokens) bool.

    Args:
        ids: The tokens, (rows, tokens).
        marks: What opens and closes thoughts.
        before: Whether they are open before the first of the tokens, (rows,) bool.
    """
    place = torch.arange(1, ids.shape[1] + 1, device=ids.device)
    opened = ((ids == marks.opening) * place).cummax(dim=1).values
    closed = ((ids == marks.closing) * place).cummax(dim=1).values
    return torch.where(opened == closed, before[:, None], opened > closed)


def thoughts(behind: Tensor, before: Tensor) -> Tensor:
    """Which tokens are thoughts, both marks included, (rows, tokens) bool.

    Args:
        behind: Whether thoughts are open behind each token, (rows, tokens) bool.
        before: Whether they are open before the first, (rows,) bool.
    """
    return behind | torch.cat([before[:, None], behind[:, :-1]], dim=1)


def with_thoughts(kinds: Tensor, are_thoughts: Tensor) -> Tensor:
    """Kinds in which each generated token is a thought or part of the answer.

    Args:
        kinds: `Kind` flags, (rows, tokens) int.
        are_thoughts: Which tokens are thoughts, (rows, tokens) bool.
    """
    said = torch.where(are_thoughts.to(kinds.device), int(Kind.THINKING), int(Kind.ANSWER))
    return kinds + said * ((kinds & int(Kind.GENERATED)) != 0)


def tells_thoughts(positions: Positions) -> bool:
    """Whether positions depend on where thoughts end.

    Args:
        positions: The positions.
    """
    return positions.names("thinking") or positions.names("answer")


def check_thoughts(positions: Positions, marks: Marks | None) -> None:
    """Refuse positions that tell thoughts from answers where a model has no token that closes thoughts.

    Args:
        positions: The positions.
        marks: Of the model.

    Raises:
        PositionsError: They do, and it has none.
    """
    if marks is None and tells_thoughts(positions):
        raise PositionsError(
            f"the positions '{positions}' need a model that thinks, with tokens such as {' and '.join(TAGS[0])} in its "
            "vocabulary, and this one has none; write `generated` for all that it puts out"
        )
