"""How MusicGen lays codes out: a start token first, and codebook k delayed by k, whichever library runs the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmsteer.types import Kind


@dataclass(frozen=True)
class Codebooks:
    """The token streams of a model.

    Attributes:
        streams: How many, those of both channels counted.
        channels: Streams of the same delay, one for each channel that is coded apart.
        pad: The token that starts a sequence, and stands where the delay leaves a gap.
    """

    streams: int
    channels: int
    pad: int

    @property
    def delays(self) -> list[int]:
        """Tokens by which each stream comes later."""
        return [stream // self.channels for stream in range(self.streams)]

    @property
    def delay(self) -> int:
        """Tokens beyond the frames: the delay of the last stream."""
        return self.delays[-1]

    def delayed(self, codes: Sequence[Tensor], device: torch.device) -> Tensor:
        """Codes as the decoder meets them: start token first, each stream delayed, padded at the end.

        `codes`: for each clip its codes, (streams, frames).

        Returns:
            Tokens, (clips, streams, longest frames + 1 + delay).
        """
        longest = max(code.shape[1] for code in codes)
        tokens = torch.full((len(codes), self.streams, longest + 1 + self.delay), self.pad, device=device)
        for clip, code in enumerate(codes):
            for stream, delay in enumerate(self.delays):
                tokens[clip, stream, 1 + delay : 1 + delay + code.shape[1]] = code[stream]
        return tokens

    def kinds(self, ids: Tensor, place: Tensor, given: int, *, before: int = 0) -> Tensor:
        """What the tokens of a forward are, (rows, tokens).

        Args:
            ids: The tokens, (rows, streams, tokens).
            place: Where each stands in its sequence, (tokens,); the start token at 0.
            given: How many tokens of the output are given.
            before: Output steps before this sequence, where it continues an output that is longer than the model's
                window.
        """
        step = place + before
        kinds = torch.where(step < given, int(Kind.PROMPT), int(Kind.GENERATED))
        kinds = kinds + int(Kind.FIRST) * (place == 0) + int(Kind.LAST) * (step == given - 1)
        return kinds.expand(len(ids), -1).masked_fill(self._past_the_end(ids, place), int(Kind.PADDING))

    def _past_the_end(self, ids: Tensor, place: Tensor) -> Tensor:
        """Columns that generation never reads: of nothing but padding, or followed by it, (rows, tokens)."""
        empty = (ids == self.pad).all(dim=1) & (place > 0)
        return empty | nn.functional.pad(empty[:, 1:], (0, 1))
