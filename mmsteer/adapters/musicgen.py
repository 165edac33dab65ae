"""MusicGen of transformers: all sizes, stereo, and melody.

The clock is in seconds: the state at position s of the decoder (0 is the start token) predicts frame s - k of codebook
k, so output step s is frame s of the first codebook, and S seconds take `rate * S` frames plus one token for every
further codebook of a channel.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from mmsteer.adapters import locate
from mmsteer.adapters.caches import cache_of, cached_tokens
from mmsteer.adapters.fingerprint import Weights
from mmsteer.adapters.generation import configured, first_given, new_tokens
from mmsteer.adapters.musicgen_decoding import decode
from mmsteer.adapters.sampling import AfterGuidance, check_seeds, checked_sampling, drawing
from mmsteer.adapters.wrapped import execution_device
from mmsteer.errors import AdapterError
from mmsteer.hooks import around, evaluating
from mmsteer.types import (
    Call,
    Forward,
    Kind,
    Layout,
    Port,
    Reading,
    Sample,
    Sampling,
    Site,
    Sketch,
    as_samples,
    select_sites,
)

STACK = "decoder"


class MusicgenAdapter:
    """Reads, steers and runs `MusicgenForConditionalGeneration` and its melody variant.

    Attributes:
        model: The model.
        processor: Its processor.
        generator: `decoder`, the only stack.
        widths: Every site and the width of its hidden state.
        rate: Frames per second.
        max_steps: Frames that the position table of the checkpoint was made for.
        sample_rate: Of the audio, in Hz.
        codebooks: Token streams, both channels counted.
        delay: Tokens beyond the frames: the delay of the last codebook.
        sampling: As the authors of MusicGen sample.
        output_kind: `audio`.
        sees: False.
    """

    generator = STACK
    output_kind: Literal["text", "audio"] = "audio"
    sees = False
    sampling = Sampling(temperature=1.0, top_k=250, top_p=1.0, guidance=3.0, beams=1)

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self._weights = Weights(model)
        config = model.config.decoder
        self._ports = {
            Site(STACK, layer, *point): port
            for layer, block in enumerate(self.stack(STACK).layers)
            for point, port in locate.points(self.stack(STACK), block, layer).items()
        }
        self.widths: Mapping[Site, int] = {
            site: config.hidden_size if port.part is None else port.part[1] - port.part[0]
            for site, port in self._ports.items()
        }
        self.rate: float | None = float(model.config.audio_encoder.frame_rate)
        self.sample_rate: int = model.config.audio_encoder.sampling_rate
        self.max_steps: int = config.max_position_embeddings
        self.codebooks: int = config.num_codebooks
        self.channels: int = config.audio_channels
        self.delay = self.codebooks // self.channels - 1

    @property
    def fingerprint(self) -> str:
        """What identifies its weights, as they are now; those of adapters, such as LoRA, do not count."""
        return self._weights.fingerprint()

    @property
    def sketch(self) -> Sketch:
        """What other weights are compared with these by."""
        return self._weights.sketch()

    @property
    def sites(self) -> tuple[Site, ...]:
        """The residual stream after every block, in the order of the layers."""
        return tuple(site for site in self.widths if site.point == "block")

    def select(self, pattern: str) -> tuple[Site, ...]:
        """The sites that a pattern names, of any point, in the order in which the model computes them.

        Args:
            pattern: Comma-separated terms such as `decoder.8-16`, `decoder.*.mlp` or `decoder.10-14.head.*`.

        Raises:
            SiteError: The pattern cannot be read, or names a site that the model does not have.
        """
        return select_sites(pattern, self.widths)

    def port(self, site: Site) -> Port:
        """Where in the model's code the hidden state at a site passes.

        Args:
            site: The site.
        """
        return self._ports[site]

    def module(self, site: Site) -> nn.Module:
        """The module that makes the hidden state at a site, or takes it.

        Args:
            site: The site.
        """
        return self.port(site).module

    def writer(self, site: Site) -> nn.Linear:
        """The linear layer whose output is the hidden state at an `mlp` or `attention` site.

        Args:
            site: The site.

        Raises:
            AdapterError: The site is a whole block.
        """
        return locate.writer(self.module(site), site)

    def stack(self, name: str) -> Any:
        """The decoder's stack of layers.

        Args:
            name: `decoder`.
        """
        return self.model.decoder.model.decoder

    def call(self, arguments: Mapping[str, Any]) -> Call:
        """Read the arguments of `generate`.

        Args:
            arguments: Its keyword arguments.

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
                f"{self.rate:g} * S + {self.delay}"
            )
        prompts = first_given(arguments, "input_ids", "inputs", "inputs_embeds", "attention_mask")
        states = first_given(arguments, "encoder_outputs")
        if prompts is None and states is not None:
            prompts = states[0]
        return Call(branches, tokens - self.delay, samples=None if prompts is None else len(prompts))

    def forward(self, stack: str, arguments: Mapping[str, Any]) -> Forward:
        """Read the arguments of one forward of the decoder's stack.

        Args:
            stack: `decoder`.
            arguments: Its arguments, by name.
        """
        ids = arguments["input_ids"]
        rows = ids.shape[0] // self.codebooks
        width = self._prefix(arguments) + ids.shape[1]
        return Forward(rows, width, cached_tokens(arguments), cache_of(arguments))

    def layout(self, stack: str, forward: Forward, arguments: Mapping[str, Any], prompt: int) -> Layout:
        """The start token and an audio prompt are the prompt; columns of nothing but padding are padding.

        The melody variant puts its conditioning before the start token. That prefix is no output, so no positions
        select it.

        Args:
            stack: `decoder`.
            forward: The forward.
            arguments: Its arguments, by name.
            prompt: How many of the tokens are given, prefix included.
        """
        ids = arguments["input_ids"].reshape(forward.rows, self.codebooks, -1)
        prefix = self._prefix(arguments)
        place = int(forward.start) + torch.arange(ids.shape[-1], device=ids.device)
        kinds = torch.where(place < prompt - prefix, int(Kind.PROMPT), int(Kind.GENERATED))
        kinds = kinds + int(Kind.FIRST) * (place == 0) + int(Kind.LAST) * (place == prompt - prefix - 1)
        kinds = kinds.expand(forward.rows, -1).masked_fill(self._past_the_end(ids, place), int(Kind.PADDING))
        return Layout(nn.functional.pad(kinds, (prefix, 0), value=int(Kind.PADDING)), prefix)

    def produced(self, output: Any, call: Call) -> int:
        """Frames of a finished `generate`.

        Args:
            output: The audio, (samples, channels, time), or transformers' output that holds it.
            call: What was known of it; the audio tells it all.
        """
        audio = output if isinstance(output, Tensor) else output.sequences
        return round(audio.shape[-1] / self.sample_rate * float(self.rate or 1))

    def canary(self) -> Tensor:
        """Logits of the start token and one column of codes under a constant condition."""
        decoder = self.model.decoder
        ids = torch.tensor([[decoder.config.pad_token_id, 0]] * self.codebooks, device=self.device)
        condition = torch.ones(1, 1, decoder.config.hidden_size, device=self.device, dtype=self.model.dtype)
        with torch.no_grad(), evaluating(self.model):
            return decoder(input_ids=ids, encoder_hidden_states=condition, use_cache=False).logits

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return execution_device(self.model)

    def frames(self, seconds: float) -> int:
        """The frames of a duration.

        Args:
            seconds: The duration.

        Raises:
            AdapterError: It is shorter than the delay pattern, or longer than the model's positions.
        """
        frames = round(float(self.rate or 1) * seconds)
        fewest, most = self._fewest, self.max_steps - self.delay
        if not fewest <= frames <= most:
            limits = f"{fewest / float(self.rate or 1):g} to {most / float(self.rate or 1):g} s"
            raise AdapterError(f"{seconds:g} s cannot be generated; choose from {limits}")
        return frames

    def steps(self, sampling: Sampling) -> int:
        """The frames of a sampling.

        Args:
            sampling: The sampling.

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
            samples: Descriptions of what to play.
            sampling: How audio is sampled.
            seeds: One a sample; the same seed draws the same noise in any batch.

        Raises:
            AdapterError: A prompt is empty, the counts differ, or the sampling cannot be done.
        """
        asked, frames, full = as_samples(samples), self.steps(sampling), sampling.filled(self.sampling)
        check_seeds(asked, seeds, full)
        inputs = self.processor(text=_described(asked), padding=True, return_tensors="pt").to(self.device)
        with self._own_loop():
            audio = self.model.generate(
                **inputs,
                max_new_tokens=frames + self.delay,
                guidance_scale=full.guidance,
                do_sample=False,
                logits_processor=AfterGuidance([*full.processors, *drawing(full, seeds, self.codebooks)]),
            )
        waves = [wave[0] if self.channels == 1 else wave.T for wave in audio.float().cpu().numpy()]
        return [replace(one, output=wave) for one, wave in zip(asked, waves, strict=True)]

    def reading(self, samples: Sequence[Sample], *, guided: bool = False) -> Reading:
        """Audio in the layout of generation: start token, then delayed codes, under its text.

        Args:
            samples: Mono audio at the model's sample rate with its text; all texts None for the null branch.
                Stereo models hear it on both channels.
            guided: Run both branches, rows [conditional; null].

        Raises:
            AdapterError: Audio is empty or not mono, or only some samples have a text.
        """
        ids = self.delayed([self._encode(sample) for sample in samples]).flatten(0, 1)[:, :-1]
        condition = self._condition([None if sample.prompt is None else sample.text for sample in samples])
        if guided:
            ids = ids.repeat(2, 1)
            condition = {name: torch.cat([value, _null(name, value)]) for name, value in condition.items()}
        call = Call(2 if guided else 1, ids.shape[1] - self.delay, prompt=1 + self._condition_length(condition))
        return Reading({"decoder_input_ids": ids, **condition}, call)

    def read(self, reading: Reading) -> Tensor:
        """Run the forward of `reading`; logits, (rows, tokens, codebooks, vocabulary).

        Args:
            reading: What `reading` returned.
        """
        with torch.no_grad():
            logits = self.model(**reading.arguments, use_cache=False).logits
        tokens = reading.arguments["decoder_input_ids"].shape[1]
        return logits[:, -tokens:].unflatten(0, (-1, self.codebooks)).transpose(1, 2)

    def tokens(self, reading: Reading) -> Tensor:
        """The codes of a reading, delayed as the decoder meets them, (rows, tokens, codebooks).

        Args:
            reading: What `reading` returned.
        """
        return reading.arguments["decoder_input_ids"].unflatten(0, (-1, self.codebooks)).transpose(1, 2)

    def token_name(self, token: int) -> str:
        """The number of a code, which means something else in each codebook.

        Args:
            token: The code.
        """
        return str(token)

    def unembed(self, state: Tensor) -> Tensor:
        """The last norm and the head of each codebook, (..., codebooks, vocabulary).

        Args:
            state: Hidden states after the last block, (..., width).
        """
        with torch.no_grad():
            normed = self.stack(STACK).layer_norm(state.to(self.device, self.model.dtype))
            return torch.stack([head(normed) for head in self.model.decoder.lm_heads], dim=-2)

    def delayed(self, codes: Sequence[Tensor]) -> Tensor:
        """Codes as the decoder meets them: start token first, codebook k delayed by k, padded at the end.

        Args:
            codes: For each clip its codes, (codebooks, frames).

        Returns:
            Tokens, (clips, codebooks, longest frames + 1 + delay).
        """
        pad = self.model.config.decoder.pad_token_id
        longest = max(code.shape[1] for code in codes)
        tokens = torch.full((len(codes), self.codebooks, longest + 1 + self.delay), pad, device=self.device)
        for clip, code in enumerate(codes):
            for book in range(self.codebooks):
                first = 1 + book // self.channels
                tokens[clip, book, first : first + code.shape[1]] = code[book]
        return tokens

    def _own_loop(self) -> AbstractContextManager[None]:
        """The loop of `generate` replaced; melody's, whose condition is part of its sequence, stays as it is."""
        if self._is_melody:
            return nullcontext()
        return around(self.model, "_sample", lambda _: partial(decode, self.model))

    def _encode(self, sample: Sample) -> Tensor:
        wave = np.asarray(() if sample.output is None else sample.output)
        if wave.ndim != 1 or not len(wave):
            raise AdapterError(
                f"{sample.id}: expected mono audio (samples,), got shape {wave.shape}; average the channels first"
            )
        audio = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32)).to(self.device, self.model.dtype)
        with torch.no_grad():
            codes = self.model.audio_encoder.encode(audio[None, None]).audio_codes[0, 0]
        return codes.repeat_interleave(self.channels, dim=0)

    def _condition(self, texts: Sequence[str | None]) -> dict[str, Tensor]:
        known = [text for text in texts if text is not None]
        if known and len(known) < len(texts):
            raise AdapterError(f"{len(known)} of {len(texts)} samples have a text; give one to all or to none")
        if known:
            return dict(self.processor(text=known, padding=True, return_tensors="pt").to(self.device))
        if not self._is_melody:
            ids = torch.zeros(len(texts), 1, dtype=torch.long, device=self.device)
            return {"input_ids": ids, "attention_mask": torch.zeros_like(ids)}
        config = self.model.config
        shape = (len(texts), config.chroma_length + 1, config.decoder.hidden_size)
        return {"encoder_hidden_states": torch.zeros(shape, device=self.device, dtype=self.model.dtype)}

    def _condition_length(self, condition: Mapping[str, Tensor]) -> int:
        """Tokens that the melody variant puts before the start token."""
        if not self._is_melody:
            return 0
        if "encoder_hidden_states" in condition:
            return condition["encoder_hidden_states"].shape[1]
        return condition["input_ids"].shape[1] + self.model.config.chroma_length

    def _past_the_end(self, ids: Tensor, place: Tensor) -> Tensor:
        """Columns that generation never reads: of nothing but padding, or followed by it, (rows, tokens)."""
        empty = (ids == self.model.config.decoder.pad_token_id).all(dim=1) & (place > 0)
        return empty | nn.functional.pad(empty[:, 1:], (0, 1))

    @property
    def _fewest(self) -> int:
        """Frames below which the model's code leaves out the delay pattern."""
        return max(1, self.delay)

    def _prefix(self, kwargs: Mapping[str, Any]) -> int:
        condition = kwargs.get("encoder_hidden_states")
        return condition.shape[1] if self._is_melody and condition is not None else 0

    @property
    def _is_melody(self) -> bool:
        return self.model.config.model_type == "musicgen_melody"

    def _prompt_frames(self, arguments: Mapping[str, Any]) -> int:
        codes, audio = first_given(arguments, "decoder_input_ids"), first_given(arguments, "input_values")
        if codes is not None:
            # Without its start token, generate puts one before it.
            return int(codes.shape[-1]) - bool((codes[..., 0] == self.model.config.decoder.pad_token_id).any())
        if audio is not None:
            return int(np.ceil(audio.shape[-1] / self.sample_rate * float(self.rate or 1)))
        return 0


def _described(samples: Sequence[Sample]) -> list[str]:
    """The prompts of samples, all of them plain texts that say something.

    Raises:
        AdapterError: One is not.
    """
    for sample in samples:
        if sample.images or not isinstance(sample.prompt, str) or not sample.prompt.strip():
            raise AdapterError(
                f"{sample.id}: the prompt is empty or no text; say what to play, as in 'a slow piano melody'"
            )
    return [sample.text for sample in samples]


def _null(name: str, value: Tensor) -> Tensor:
    """The null branch: the same text under a mask of zeros, so that nothing of it is heard."""
    return value if name == "input_ids" else torch.zeros_like(value)
