"""What MusicGen is given besides tokens, whichever library runs it: descriptions, an audio prompt, a melody."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmsteer.adapters.waves import fitted, frames_of
from mmsteer.errors import AdapterError
from mmsteer.types import Sample, Waveform

Encode = Callable[[np.ndarray], Tensor]
"""Audio, (channels, samples), to its codes, (streams, frames)."""


def described(samples: Sequence[Sample]) -> list[str]:
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


def texts_of(samples: Sequence[Sample]) -> list[str] | None:
    """The texts under which outputs are read; None where no sample has one, for the null branch.

    Raises:
        AdapterError: Some have one and some have none.
    """
    known = [sample.text for sample in samples if sample.prompt is not None]
    if known and len(known) < len(samples):
        raise AdapterError(f"{len(known)} of {len(samples)} samples have a text; give one to all or to none")
    return known or None


def prompt_codes(samples: Sequence[Sample], encode: Encode, sample_rate: int, channels: int) -> Tensor | None:
    """The codes of audio prompts of one length, (samples, streams, frames); None where there are none.

    Args:
        samples: What is generated from: all with an audio prompt, or none.
        encode: The model's codec.
        sample_rate: Of the codec.
        channels: Of the codec.
    """
    waves = [
        fitted(sample.audio_prompt, sample_rate, channels, f"{sample.id}, audio prompt")
        for sample in samples
        if sample.audio_prompt is not None
    ]
    return torch.stack([encode(wave) for wave in waves]) if waves else None


def check_room(codes: Tensor | None, frames: int, rate: float) -> int:
    """The frames of audio prompts, refused where the output has no room for more.

    `codes`: what `prompt_codes` found.
    `rate`: frames per second.

    Raises:
        AdapterError: The audio prompt is as long as the output.
    """
    given = 0 if codes is None else int(codes.shape[-1])
    if given >= frames:
        raise AdapterError(
            f"the audio prompt lasts {given / rate:g} s and the output {frames / rate:g} s, of which the prompt is "
            "part; make the output longer, or the prompt shorter"
        )
    return given


def given_frames(samples: Sequence[Sample], rate: float) -> int:
    """Frames of outputs that were given as audio prompts.

    `samples`: what is read.
    `rate`: frames per second.

    Raises:
        AdapterError: They differ between the samples.
    """
    prompts = [sample.audio_prompt for sample in samples]
    frames = {0 if one is None else frames_of(len(one.samples), one.sample_rate, rate) for one in prompts}
    if len(frames) > 1:
        raise AdapterError(
            f"the audio prompts of samples that are read together last {min(frames)} to {max(frames)} frames; read "
            "samples of one length together"
        )
    return frames.pop()


def output_of(sample: Sample, sample_rate: int) -> Waveform:
    """The output of a sample, to be read.

    `sample`: the sample.
    `sample_rate`: of an output that says none.

    Raises:
        AdapterError: It is empty, or not mono.
    """
    if isinstance(sample.output, Waveform):
        return sample.output
    wave = np.asarray(() if sample.output is None else sample.output)
    if wave.ndim != 1 or not len(wave):
        raise AdapterError(
            f"{sample.id}: expected mono audio (samples,), got shape {wave.shape}; average the channels first"
        )
    return Waveform(wave, sample_rate)


def melody_features(samples: Sequence[Sample], processor: Any) -> Tensor:
    """Chroma of melodies as transformers' melody variant takes it, (samples, frames, chroma).

    `processor`: the model's.

    Raises:
        AdapterError: The processor makes no chroma.
    """
    extract = processor.feature_extractor
    if "input_features" not in getattr(extract, "model_input_names", ()):
        raise AdapterError(
            f"the model's processor has a {type(extract).__name__}, which makes no chroma of a melody; load the "
            "checkpoint with its own MusicgenMelodyProcessor"
        )
    rate = extract.sampling_rate
    waves = [fitted(one.melody, rate, 1, f"{one.id}, melody")[0] for one in samples if one.melody is not None]
    return extract(waves, sampling_rate=rate, return_tensors="pt")["input_features"]
