"""Conversations about one picture in one sequence: each sees the picture and itself, none another.

The picture's tokens are read once for all of them, which more than halves the work of a step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from mmsteer.worlds.scenes import Turn
from mmsteer.worlds.scenes.shapes import COLOURS
from mmsteer.worlds.training.vision_data import GRID
from mmsteer.worlds.training.vision_model import IMAGE

PATCHES = GRID * GRID
# After these words, and at the start of an answer, the picture decides; what follows counts for more, whatever it is.
_BEFORE_DECISIONS = (" a", " an", "A", "An", ".", *(f" {colour}" for colour in COLOURS))
_DECISION_WEIGHT = 3.0


@dataclass(frozen=True, eq=False)
class Packed:
    """The conversations about one picture, one after the other.

    Attributes:
        tokens: Ids, (length,).
        turns: Which conversation each token belongs to, -1 for the picture's, (length,).
        weights: How much predicting each token counts, 0 in prompts, (length,).
    """

    tokens: Tensor
    turns: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Some pictures' conversations, padded on the right.

    Attributes:
        tokens: (n, length).
        positions: Of each token in its own conversation, (n, length).
        sees: Whether a token (second dimension of the last two) sees another (last), (n, 1, length, length).
        weights: (n, length).
    """

    tokens: Tensor
    positions: Tensor
    sees: Tensor
    weights: Tensor


class Packer:
    """Turns conversations into tokens, as the chat template writes them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Keep the tokenizer.

        Args:
            tokenizer: The language model's, with the image's token.
        """
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def read(self, text: str) -> list[int]:
        """The ids of a text, special tokens read as such.

        Args:
            text: What to read.
        """
        if text not in self._known:
            self._known[text] = self._tokenizer(text, add_special_tokens=False).input_ids
        return self._known[text]

    @cached_property
    def prefix(self) -> list[int]:
        """What every conversation begins with."""
        return [*self.read("<|im_start|>user\n"), *self.read(IMAGE) * PATCHES, *self.read("\n")]

    @cached_property
    def _decisions(self) -> frozenset[int]:
        return frozenset(self.read(word)[-1] for word in _BEFORE_DECISIONS)

    def pack(self, talk: Sequence[Turn]) -> Packed:
        """The conversations about one picture.

        Args:
            talk: A prompt and an answer each.
        """
        tokens, turns = list(self.prefix), [-1] * len(self.prefix)
        weights = [0.0] * len(tokens)
        for index, turn in enumerate(talk):
            asked = [*self.read(turn.prompt), *self.read("<|im_end|>\n<|im_start|>assistant\n")]
            said = [*self.read(turn.answer), *self.read("<|im_end|>")]
            tokens += asked + said
            turns += [index] * (len(asked) + len(said))
            weights += [0.0] * len(asked) + self._weights(said)
        return Packed(torch.tensor(tokens), torch.tensor(turns), torch.tensor(weights))

    def _weights(self, said: Sequence[int]) -> list[float]:
        decided = [True, *(token in self._decisions for token in said[:-1])]
        return [_DECISION_WEIGHT if choice else 1.0 for choice in decided]


def collate(rows: Sequence[Packed], pad: int) -> Batch:
    """Some pictures' conversations as one batch.

    Args:
        rows: The pictures' conversations.
        pad: Id to pad with.
    """
    tokens = _padded([row.tokens for row in rows], pad)
    # Padding is a conversation of its own: nothing else sees it.
    turns = _padded([row.turns for row in rows], -2)
    places = torch.arange(tokens.shape[1])
    shared = (turns == -1).sum(dim=1, keepdim=True)
    first = (turns[:, :, None] == turns[:, None, :]).int().argmax(dim=2)
    positions = torch.where(turns == -1, places, places - first + shared)
    sees = ((turns[:, :, None] == turns[:, None, :]) | (turns == -1)[:, None, :]) & (places[:, None] >= places)
    return Batch(tokens, positions, sees[:, None], _padded([row.weights for row in rows], 0.0))


def _padded(rows: Sequence[Tensor], value: float) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
