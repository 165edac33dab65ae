"""MusicGen of audiocraft, Meta's own library.

An output that is longer than the model's window is made in several, and the clock goes on over them: the tokens that a
window begins with, the end of the one before, have the time that they had there.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LogitsProcessorList

from mmsteer.adapters.audiocraft.conditions import attributes_of, constant, prefix_of, tensors_of
from mmsteer.adapters.audiocraft.decoding import NextToken, duration_of, settings
from mmsteer.adapters.audiocraft.identity import as_transformers
from mmsteer.adapters.audiocraft.supported import streams_of, time_axis
from mmsteer.adapters.audiocraft.windows import Windows
from mmsteer.adapters.families import Blocks
from mmsteer.adapters.fingerprint import Weights
from mmsteer.adapters.musicgen import STACK, MusicgenAdapter
from mmsteer.adapters.musicgen_inputs import check_room, described, given_frames, prompt_codes
from mmsteer.adapters.points import ports_of_row
from mmsteer.adapters.sampling import drawing
from mmsteer.errors import AdapterError
from mmsteer.hooks import around, evaluating
from mmsteer.types import Call, Forward, Kind, Layout, Logits, Port, Reading, Sample, Sampling, Site, Wrap

USUAL_LENGTH = 256
"""Frames that the language model's own `generate` makes unless asked otherwise."""

LAYERS = Blocks(
    "transformer.layers",
    attention="self_attn",
    cross_attention="cross_attention",
    mlp="linear2",
    mlp_input="linear1",
    mid="norm2",
    # An attention that is torch's own, as audiocraft can be told to use, has no projection that runs by itself.
    heads="self_attn.out_proj",
)
"""Where a layer's states pass."""


class AudiocraftMusicgen(MusicgenAdapter):
    """Reads, steers and runs `audiocraft.models.MusicGen`; `model` is its language model.

    Attributes:
        musicgen: The model, whose own `generate`, `generate_continuation` and `generate_with_chroma` can be steered.
    """

    def __init__(self, musicgen: Any) -> None:
        lm = musicgen.lm
        super().__init__(
            lm,
            streams_of(musicgen),
            _ports(lm.transformer.layers),
            lm.dim,
            rate=float(musicgen.frame_rate),
            sample_rate=musicgen.sample_rate,
            channels=musicgen.audio_channels,
            max_steps=int(musicgen.max_duration * musicgen.frame_rate),
        )
        self.musicgen = musicgen
        self._windows = Windows(musicgen)

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return torch.device(self.musicgen.device)

    def stack(self, name: str) -> Any:
        """The language model itself, which is given tokens and conditions at once."""
        return self.model

    def entries(self, wrap: Wrap) -> AbstractContextManager[None]:
        """Stand around MusicGen's own methods that generate, and the language model's."""
        return self._windows.entries(wrap)

    def call(self, arguments: Mapping[str, Any]) -> Call:
        """Read the arguments of a whole output, or of the language model's own `generate`."""
        if "attributes" in arguments:
            asked = arguments["attributes"]
            steps = int(self.musicgen.duration * self._rate)
            return Call(self._branches(asked), steps, samples=len(asked), delay=self.delay)
        asked, prompt = arguments.get("conditions") or [], arguments.get("prompt")
        samples = arguments.get("num_samples") or len(asked if prompt is None else prompt) or 1
        steps = arguments.get("max_gen_len", USUAL_LENGTH)
        return Call(self._branches(asked), steps, samples=samples, delay=self.delay)

    def forward(self, stack: str, arguments: Mapping[str, Any]) -> Forward:
        """Read the arguments of one forward of the language model."""
        rows, _, tokens = arguments["sequence"].shape
        cached, run = self._cached(), self._windows.now
        width = tokens if cached else tokens + prefix_of(self.model, arguments.get("condition_tensors"))
        before, branch = (run.before, run.branch(arguments)) if run else (0, None)
        return Forward(rows, width, before + cached, branch=branch)

    def layout(self, stack: str, forward: Forward, arguments: Mapping[str, Any], prompt: int) -> Layout:
        """The start token and an audio prompt are the prompt, also where they begin a later window.

        What the melody variant puts before the start token is no output, so no positions select it.
        """
        ids, run, cached = arguments["sequence"], self._windows.now, self._cached()
        prefix = prefix_of(self.model, arguments.get("condition_tensors"))
        given, before = (run.given, run.before) if run else (prompt - prefix, 0)
        place = max(cached - prefix, 0) + torch.arange(ids.shape[-1], device=ids.device)
        kinds = self.streams.kinds(ids, place, given, before=before)
        return Layout(nn.functional.pad(kinds, (forward.width - ids.shape[-1], 0), value=int(Kind.PADDING)), prefix)

    def produced(self, output: Any, call: Call) -> int:
        """Frames of a finished output, from its codes, (samples, streams, frames)."""
        return int(output.shape[-1])

    def canary(self) -> Tensor:
        """Logits of the start token and one column of codes under a constant condition."""
        ids = torch.zeros(1, self.codebooks, 2, dtype=torch.long, device=self.device)
        ids[..., 0] = self.streams.pad
        with evaluating(self.model):
            return self._logits(ids, constant(self.model, self.device))

    def frames(self, seconds: float) -> int:
        """The frames of a duration, which may be longer than the model's window.

        Raises:
            AdapterError: It is shorter than a frame.
        """
        frames = round(self._rate * seconds)
        if frames < 1:
            raise AdapterError(f"{seconds:g} s cannot be generated; give {1 / self._rate:g} s or more")
        return frames

    def reading(self, samples: Sequence[Sample], *, guided: bool = False) -> Reading:
        """Audio in the layout of generation: start token, then delayed codes, under its text and melody.

        `samples`: mono audio at the model's sample rate, which stereo models take on both channels, with its text; all
        texts None for the null branch.

        Raises:
            AdapterError: Audio is empty or not mono, or only some samples have a text.
        """
        ids = self._delayed(samples)
        tensors = tensors_of(self.musicgen, samples, guided=guided)
        prompt = 1 + given_frames(samples, self._rate) + prefix_of(self.model, tensors)
        call = Call(2 if guided else 1, ids.shape[-1] - self.delay, prompt=prompt)
        return Reading({"sequence": ids.repeat(call.branches, 1, 1), "condition_tensors": tensors}, call)

    def read(self, reading: Reading, *, gradient: bool = False, logits: Logits = "all") -> Tensor:
        """Run the forward of `reading`; logits, (rows, tokens, codebooks, vocabulary), always of all tokens."""
        arguments = reading.arguments
        with torch.set_grad_enabled(gradient), self.musicgen.autocast:
            found: Tensor = self.model(
                arguments["sequence"], conditions=[], condition_tensors=arguments["condition_tensors"]
            )
        return found.transpose(1, 2)

    def tokens(self, reading: Reading) -> Tensor:
        """The codes of a reading, delayed as the decoder meets them, (rows, tokens, codebooks)."""
        return reading.arguments["sequence"].transpose(1, 2)

    def unembed(self, state: Tensor) -> Tensor:
        """The last norm and the head of each codebook, (..., codebooks, vocabulary)."""
        with torch.no_grad():
            state = state.to(self.device, self.model.linears[0].weight.dtype)
            normed = self.model.out_norm(state) if self.model.out_norm else state
            return torch.stack([head(normed) for head in self.model.linears], dim=-2)

    def _weights(self) -> Weights:
        return Weights(as_transformers(self.musicgen))

    def _played(
        self, samples: Sequence[Sample], frames: int, sampling: Sampling, seeds: Sequence[int] | None
    ) -> list[np.ndarray]:
        """The audio of samples whose audio prompts and melodies are equally long."""
        attributes = attributes_of(self.musicgen, described(samples), samples)
        codes = prompt_codes(samples, self._codes, self.sample_rate, self.channels)
        check_room(codes, frames, self._rate)
        processors = LogitsProcessorList([*sampling.processors, *drawing(sampling, seeds, self.codebooks)])
        draw = NextToken(self.model, processors, sampling.guidance or 1.0, self._cached)
        duration = duration_of(frames, self._rate, self.musicgen.max_duration)
        with (
            settings(self.musicgen, duration=duration, generation_params={"two_step_cfg": False}),
            around(self.model, "_sample_next_token", lambda _: draw),
        ):
            tokens = self.musicgen._generate_tokens(attributes, codes)
        audio = self.musicgen.generate_audio(tokens).float().cpu().numpy()
        return [wave[0] if self.channels == 1 else wave.T for wave in audio]

    def _codes(self, wave: np.ndarray) -> Tensor:
        with torch.no_grad():
            return self.musicgen.compression_model.encode(torch.from_numpy(wave).to(self.device)[None])[0][0]

    def _logits(self, ids: Tensor, tensors: Mapping[str, Any]) -> Tensor:
        with torch.no_grad(), self.musicgen.autocast:
            return self.model(ids, conditions=[], condition_tensors=tensors)

    def _cached(self) -> int:
        """Tokens that the language model has run, prefix included; from a shape, which asks no device."""
        attention = self.model.transformer.layers[0].self_attn
        keys = attention._streaming_state.get("past_keys")
        return 0 if keys is None else int(keys.shape[time_axis(attention)])

    def _branches(self, conditions: Sequence[Any]) -> int:
        return 2 if conditions and len(self.model.condition_provider.conditioners) else 1


def _ports(layers: Any) -> dict[Site, Port]:
    return {
        Site(STACK, at, *point): port
        for at, layer in enumerate(layers)
        for point, port in ports_of_row(layer, at, layer.self_attn, LAYERS).items()
    }
