"""MusicGen of transformers: all sizes, stereo, and melody."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmsteer.adapters import locate
from mmsteer.adapters.caches import cache_of, cached_tokens
from mmsteer.adapters.codebooks import Codebooks
from mmsteer.adapters.fingerprint import Weights
from mmsteer.adapters.generation import configured, first_given, new_tokens
from mmsteer.adapters.musicgen import STACK, MusicgenAdapter
from mmsteer.adapters.musicgen_conditions import Conditions, with_null_branch
from mmsteer.adapters.musicgen_decoding import decode
from mmsteer.adapters.musicgen_inputs import check_room, described, given_frames, prompt_codes
from mmsteer.adapters.sampling import AfterGuidance, drawing
from mmsteer.adapters.waves import frames_of
from mmsteer.adapters.wrapped import execution_device
from mmsteer.errors import AdapterError
from mmsteer.hooks import around, evaluating
from mmsteer.types import Call, Forward, Kind, Layout, Logits, Port, Reading, Sample, Sampling, Site, Wrap


class TransformersMusicgen(MusicgenAdapter):
    """Reads, steers and runs `MusicgenForConditionalGeneration` and its melody variant."""

    def __init__(self, model: Any, processor: Any) -> None:
        config = model.config.decoder
        codec = model.config.audio_encoder
        super().__init__(
            model,
            Codebooks(config.num_codebooks, config.audio_channels, config.vocab_size),
            _ports(model.decoder.model.decoder),
            config.hidden_size,
            rate=float(codec.frame_rate),
            sample_rate=codec.sampling_rate,
            channels=config.audio_channels,
            max_steps=config.max_position_embeddings,
        )
        self.processor = processor
        self._held = Weights(model)
        self._conditions = Conditions(model, processor)

    def stack(self, name: str) -> Any:
        """The decoder's stack of layers."""
        return self.model.decoder.model.decoder

    def entries(self, wrap: Wrap) -> AbstractContextManager[None]:
        """Stand around the model's own `generate`."""
        return around(self.model, "generate", wrap)

    def call(self, arguments: Mapping[str, Any]) -> Call:
        """Read the arguments of `generate`.

        Raises:
            AdapterError: They ask for several sequences a prompt, which the model's code garbles.
        """
        config = configured(self.model, arguments)
        if config.num_return_sequences > 1:
            raise AdapterError(
                "MusicGen mixes up the codebooks of num_return_sequences > 1 (its reshape counts prompts, not "
                "sequences); repeat each prompt instead"
            )
        branches = 2 if (config.guidance_scale or 1) > 1 else 1
        given = self._prompt_frames(arguments)
        # Its generate takes any length but that of `max_length=` for one of the new tokens.
        is_default = arguments.get("max_length") is None
        tokens = given + new_tokens(self.model, config, repeated=1 + given, is_default=is_default)
        if tokens < self._fewest + self.delay:
            raise AdapterError(
                f"{tokens} tokens make no audio; {self._fewest + self.delay} or more do, and S seconds take "
                f"{self._rate:g} * S + {self.delay}"
            )
        prompts = first_given(arguments, "input_ids", "inputs", "inputs_embeds", "attention_mask")
        states = first_given(arguments, "encoder_outputs")
        if prompts is None and states is not None:
            prompts = states[0]
        samples = None if prompts is None else len(prompts)
        return Call(branches, tokens - self.delay, samples=samples, delay=self.delay)

    def forward(self, stack: str, arguments: Mapping[str, Any]) -> Forward:
        """Read the arguments of one forward of the decoder's stack."""
        ids = arguments["input_ids"]
        rows = ids.shape[0] // self.codebooks
        width = self._prefix(arguments) + ids.shape[1]
        return Forward(rows, width, cached_tokens(arguments), cache_of(arguments))

    def layout(self, stack: str, forward: Forward, arguments: Mapping[str, Any], prompt: int) -> Layout:
        """The start token and an audio prompt are the prompt; columns of nothing but padding are padding.

        The melody variant puts its conditioning before the start token. That prefix is no output, so no positions
        select it.
        """
        ids = arguments["input_ids"].reshape(forward.rows, self.codebooks, -1)
        prefix = self._prefix(arguments)
        place = int(forward.start) + torch.arange(ids.shape[-1], device=ids.device)
        kinds = self.streams.kinds(ids, place, prompt - prefix)
        return Layout(nn.functional.pad(kinds, (prefix, 0), value=int(Kind.PADDING)), prefix)

    def produced(self, output: Any, call: Call) -> int:
        """Frames of a finished `generate`, from its audio, (samples, channels, time), or the output that holds it."""
        audio = output if isinstance(output, Tensor) else output.sequences
        return round(audio.shape[-1] / self.sample_rate * self._rate)

    def canary(self) -> Tensor:
        """Logits of the start token and one column of codes under a constant condition."""
        decoder = self.model.decoder
        ids = torch.tensor([[decoder.config.vocab_size, 0]] * self.codebooks, device=self.device)
        condition = torch.ones(1, 1, decoder.config.hidden_size, device=self.device, dtype=self.model.dtype)
        with torch.no_grad(), evaluating(self.model):
            return decoder(input_ids=ids, encoder_hidden_states=condition, use_cache=False).logits

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return execution_device(self.model)

    def frames(self, seconds: float) -> int:
        """The frames of a duration.

        Raises:
            AdapterError: It is shorter than the delay pattern, or longer than the model's positions.
        """
        frames = round(self._rate * seconds)
        fewest, most = self._fewest, self.max_steps - self.delay
        if not fewest <= frames <= most:
            limits = f"{fewest / self._rate:g} to {most / self._rate:g} s"
            raise AdapterError(f"{seconds:g} s cannot be generated; choose from {limits}")
        return frames

    def reading(self, samples: Sequence[Sample], *, guided: bool = False) -> Reading:
        """Audio in the layout of generation: start token, then delayed codes, under its text and melody.

        `samples`: mono audio at the model's sample rate, which stereo models take on both channels, with its text; all
        texts None for the null branch.

        Raises:
            AdapterError: Audio is empty or not mono, or only some samples have a text.
        """
        ids = self._delayed(samples).flatten(0, 1)
        condition = self._conditions.of_outputs(samples, self.device)
        if guided:
            ids, condition = ids.repeat(2, 1), with_null_branch(condition)
        prompt = 1 + given_frames(samples, self._rate) + self._conditions.prefix(condition)
        call = Call(2 if guided else 1, ids.shape[1] - self.delay, prompt=prompt)
        return Reading({"decoder_input_ids": ids, **condition}, call)

    def read(self, reading: Reading, *, gradient: bool = False, logits: Logits = "all") -> Tensor:
        """Run the forward of `reading`; logits, (rows, tokens, codebooks, vocabulary), always of all tokens."""
        with torch.set_grad_enabled(gradient):
            found: Tensor = self.model(**reading.arguments, use_cache=False).logits
        tokens = reading.arguments["decoder_input_ids"].shape[1]
        return found[:, -tokens:].unflatten(0, (-1, self.codebooks)).transpose(1, 2)

    def tokens(self, reading: Reading) -> Tensor:
        """The codes of a reading, delayed as the decoder meets them, (rows, tokens, codebooks)."""
        return reading.arguments["decoder_input_ids"].unflatten(0, (-1, self.codebooks)).transpose(1, 2)

    def unembed(self, state: Tensor) -> Tensor:
        """The last norm and the head of each codebook, (..., codebooks, vocabulary)."""
        with torch.no_grad():
            normed = self.stack(STACK).layer_norm(state.to(self.device, self.model.dtype))
            return torch.stack([head(normed) for head in self.model.decoder.lm_heads], dim=-2)

    def _weights(self) -> Weights:
        return self._held

    def _own_loop(self) -> AbstractContextManager[None]:
        """The loop of `generate` replaced; melody's, whose condition is part of its sequence, stays as it is."""
        if self._conditions.is_melody:
            return nullcontext()
        return around(self.model, "_sample", lambda _: partial(decode, self.model))

    def _played(
        self, samples: Sequence[Sample], frames: int, sampling: Sampling, seeds: Sequence[int] | None
    ) -> list[np.ndarray]:
        """The audio of samples whose audio prompts and melodies are equally long."""
        inputs = self._conditions.of_texts(described(samples), samples, self.device)
        codes = prompt_codes(samples, self._codes, self.sample_rate, self.channels)
        given = check_room(codes, frames, self._rate)
        if codes is not None:
            inputs["decoder_input_ids"] = codes.flatten(0, 1)
        with self._own_loop():
            audio = self.model.generate(
                **inputs,
                max_new_tokens=frames + self.delay - given,
                guidance_scale=sampling.guidance,
                do_sample=False,
                logits_processor=AfterGuidance([*sampling.processors, *drawing(sampling, seeds, self.codebooks)]),
            )
        return [wave[0] if self.channels == 1 else wave.T for wave in audio.float().cpu().numpy()]

    def _codes(self, wave: np.ndarray) -> Tensor:
        return self._conditions.codes(wave, self.device)

    @property
    def _fewest(self) -> int:
        """Frames below which the model's code leaves out the delay pattern."""
        return max(1, self.delay)

    def _prefix(self, kwargs: Mapping[str, Any]) -> int:
        condition = kwargs.get("encoder_hidden_states")
        return condition.shape[1] if self._conditions.is_melody and condition is not None else 0

    def _prompt_frames(self, arguments: Mapping[str, Any]) -> int:
        codes, audio = first_given(arguments, "decoder_input_ids"), first_given(arguments, "input_values")
        if codes is not None:
            # Without its start token, generate puts one before it.
            return int(codes.shape[-1]) - bool((codes[..., 0] == self.model.config.decoder.vocab_size).any())
        if audio is not None:
            return frames_of(audio.shape[-1], self.sample_rate, self._rate)
        return 0


def _ports(decoder: Any) -> dict[Site, Port]:
    return {
        Site(STACK, layer, *point): port
        for layer, block in enumerate(decoder.layers)
        for point, port in locate.points(decoder, block, layer).items()
    }
