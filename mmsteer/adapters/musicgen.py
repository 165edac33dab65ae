"""MusicGen, whichever library runs it.

The clock is in seconds: the state at position s of the decoder (0 is the start token) predicts frame s - k of codebook
k, so output step s is frame s of the first codebook, and S seconds take `rate * S` frames plus one token for every
further codebook of a channel.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mmsteer.adapters.codebooks import Codebooks
from mmsteer.adapters.musicgen_inputs import output_of
from mmsteer.adapters.ported import Ported
from mmsteer.adapters.sampling import check_seeds, checked_sampling
from mmsteer.adapters.waves import alike, fitted
from mmsteer.errors import AdapterError
from mmsteer.types import (
    Call,
    Forward,
    Layout,
    Logits,
    Marks,
    Port,
    Reading,
    Sample,
    Sampling,
    Site,
    Wrap,
    as_samples,
)

STACK = "decoder"


class MusicgenAdapter(Ported):
    """Reads, steers and runs MusicGen: text to music, continuation, melody.

    Attributes:
        model: The module whose forward is one pass of the whole model.
        processor: Of transformers' models; None for audiocraft's.
        generator: `decoder`, the only stack.
        widths: Every site and the width of its hidden state.
        rate: Frames per second.
        max_steps: Frames that the model was made for.
        sample_rate: Of the audio, in Hz.
        channels: Of the audio.
        streams: How codes are laid out.
        codebooks: Token streams, both channels counted.
        delay: Tokens beyond the frames: the delay of the last codebook.
        sampling: As the authors of MusicGen sample.
        output_kind: `audio`.
        sees: False.
        marks: None: music does not think.
    """

    generator = STACK
    output_kind: Literal["text", "audio"] = "audio"
    sees = False
    marks: Marks | None = None
    sampling = Sampling(temperature=1.0, top_k=250, top_p=1.0, guidance=3.0, beams=1)
    processor: Any = None

    def __init__(
        self,
        model: Any,
        streams: Codebooks,
        ports: Mapping[Site, Port],
        width: int,
        *,
        rate: float,
        sample_rate: int,
        channels: int,
        max_steps: int,
    ) -> None:
        self.model = model
        self.streams = streams
        self._ports = ports
        self.widths: Mapping[Site, int] = {
            site: width if port.part is None else port.part[1] - port.part[0] for site, port in ports.items()
        }
        self.rate: float | None = rate
        self._rate = rate
        self.sample_rate = sample_rate
        self.channels = channels
        self.max_steps = max_steps
        self.codebooks = streams.streams
        self.delay = streams.delay

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the model runs."""

    @property
    def sites(self) -> tuple[Site, ...]:
        """The residual stream after every block, in the order of the layers."""
        return tuple(site for site in self.widths if site.point == "block")

    @abstractmethod
    def stack(self, name: str) -> Any:
        """The module whose forward is one tick of the clock."""

    @abstractmethod
    def entries(self, wrap: Wrap) -> AbstractContextManager[None]:
        """Stand around the methods by which users have the model make output."""

    @abstractmethod
    def call(self, arguments: Mapping[str, Any]) -> Call:
        """Read the arguments of a call of such a method."""

    @abstractmethod
    def forward(self, stack: str, arguments: Mapping[str, Any]) -> Forward:
        """Read the arguments of one forward of the stack."""

    @abstractmethod
    def layout(self, stack: str, forward: Forward, arguments: Mapping[str, Any], prompt: int) -> Layout:
        """The start token and an audio prompt are the prompt; columns of nothing but padding are padding."""

    @abstractmethod
    def produced(self, output: Any, call: Call) -> int:
        """Frames of a finished output."""

    @abstractmethod
    def canary(self) -> Tensor:
        """Logits of the start token and one column of codes under a constant condition."""

    @abstractmethod
    def frames(self, seconds: float) -> int:
        """The frames of a duration, refused where the model cannot make it."""

    def steps(self, sampling: Sampling) -> int:
        """The frames of a sampling.

        Raises:
            AdapterError: It asks for what this model cannot do.
        """
        full = checked_sampling(sampling, self.sampling, "seconds")
        if full.beams != 1:
            raise AdapterError(f"{full.beams} beams: MusicGen samples, it does not search; leave beams out")
        return self.frames(full.seconds or 0.0)

    def generate(
        self,
        samples: Sequence[Sample | str],
        sampling: Sampling = Sampling(seconds=4.0),
        seeds: Sequence[int] | None = None,
    ) -> list[Sample]:
        """The samples with their audio, (samples,) or (samples, 2) float32.

        Args:
            samples: Descriptions of what to play, with an audio prompt or, for the melody variant, a melody.
            sampling: How audio is sampled; an audio prompt is part of its seconds.
            seeds: One a sample; the same seed draws the same noise in any batch, and in either library.

        Raises:
            AdapterError: A prompt is empty, the counts differ, or the sampling cannot be done.
        """
        asked, frames, full = as_samples(samples), self.steps(sampling), sampling.filled(self.sampling)
        check_seeds(asked, seeds, full)
        made = dict[int, Sample]()
        for rows in alike(asked):
            part = [asked[row] for row in rows]
            waves = self._played(part, frames, full, [seeds[row] for row in rows] if seeds else None)
            made |= {row: replace(one, output=wave) for row, one, wave in zip(rows, part, waves, strict=True)}
        return [made[row] for row in range(len(asked))]

    @abstractmethod
    def reading(self, samples: Sequence[Sample], *, guided: bool = False) -> Reading:
        """Audio in the layout of generation: start token, then delayed codes, under its text and melody."""

    @abstractmethod
    def read(self, reading: Reading, *, gradient: bool = False, logits: Logits = "all") -> Tensor:
        """Run the forward of `reading`; logits, (rows, tokens, codebooks, vocabulary), always of all tokens."""

    @abstractmethod
    def tokens(self, reading: Reading) -> Tensor:
        """The codes of a reading, delayed as the decoder meets them, (rows, tokens, codebooks)."""

    def token_name(self, token: int) -> str:
        """The number of a code, which means something else in each codebook."""
        return str(token)

    def words_of_tokens(self, output: str) -> list[int]:
        """None: audio has no words."""
        return []

    @abstractmethod
    def unembed(self, state: Tensor) -> Tensor:
        """The last norm and the head of each codebook, (..., codebooks, vocabulary)."""

    @abstractmethod
    def _played(
        self, samples: Sequence[Sample], frames: int, sampling: Sampling, seeds: Sequence[int] | None
    ) -> list[np.ndarray]:
        """The audio of samples whose audio prompts and melodies are equally long."""

    @abstractmethod
    def _codes(self, wave: np.ndarray) -> Tensor:
        """Codes of audio, (channels, samples), as (streams, frames)."""

    def _encode(self, sample: Sample) -> Tensor:
        return self._codes(fitted(output_of(sample, self.sample_rate), self.sample_rate, self.channels, sample.id))

    def _delayed(self, samples: Sequence[Sample]) -> Tensor:
        """The tokens that outputs are read from, (samples, streams, tokens): the last one predicts nothing."""
        return self.streams.delayed([self._encode(sample) for sample in samples], self.device)[..., :-1]
