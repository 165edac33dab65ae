"""An `EncodecModel` whose weights compute a lapped cosine transform exactly, and so keep every pitch.

Its strided convolutions move samples into channels (space to depth). The last of them sees 640 samples, two
hops, and holds the windowed cosine basis (MDCT) of the lowest bands; the decoder's first
transposed convolution adds the overlapping windows up again. A bias keeps every ELU in its linear part and is
taken off behind it; the LSTM is zero behind its residual connection. Only the quantiser loses anything.

Source: Princen, Johnson and Bradley 1987 (the transform); Defossez et al. 2022, arXiv:2210.13438 (the model).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import EncodecConfig, EncodecModel

SAMPLE_RATE = 16000
# Added so that ELU sees positive numbers only: samples are within ±1, coefficients of them within ±13 at a hop of 320.
SAMPLE_BIAS = 4.0


@dataclass(frozen=True)
class CodecShape:
    """The size of a codec.

    Attributes:
        upsampling: The strides of the convolutions, of the widest first; their product is the hop.
        bands: How many of the lowest bands it keeps.
        filters: Channels of the first convolution, which double with each stride.
        spans: The bands that each codebook quantises, the first and the one behind the last.
        size: Entries a codebook.
    """

    upsampling: tuple[int, ...]
    bands: int
    filters: int
    spans: tuple[tuple[int, int], ...]
    size: int = 1024

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.upsampling)

    @property
    def block(self) -> int:
        """Samples that are channels when the transform is taken: the hop over its stride."""
        return self.hop // self.upsampling[0]

    @property
    def lead_blocks(self) -> int:
        """A frame's window starts this many blocks before its hop: how EnCodec pads an odd stride."""
        return self.upsampling[0] - self.upsampling[0] // 2

    @property
    def bias(self) -> float:
        """Above every coefficient of samples within ±1."""
        return 16.0 * math.sqrt(self.hop / 320)


MUSIC = CodecShape((5, 4, 2, 2, 2, 2), bands=160, filters=3, spans=4 * ((0, 160),))
"""50 frames a second, bands of 25 Hz."""
BAND = CodecShape((5, 5, 4, 2, 2, 2, 2), bands=512, filters=5, spans=((0, 82), (82, 260), (260, 512), (0, 512)))
"""10 frames a second, bands of 5 Hz; one codebook each for chord and bass, for the line, and for the timbre, then one
for what they leave."""


def mdct_basis(bands: int, hop: int = MUSIC.hop) -> NDArray[np.float64]:
    """The orthonormal lapped cosine basis under a sine window, (bands, 2 hops).

    Args:
        bands: How many of the lowest of the `hop` bands.
        hop: Samples a frame.
    """
    sample = np.arange(2 * hop) + 0.5
    window = np.sin(np.pi * sample / (2 * hop))
    waves = np.cos(np.pi / hop * np.outer(np.arange(bands) + 0.5, sample + hop / 2))
    return np.asarray(window * np.sqrt(2 / hop) * waves)


def mdct_frames(audio: Tensor, weights: Tensor, shape: CodecShape = MUSIC) -> Tensor:
    """What the codec's encoder computes, by one matrix product: (clips, samples) to (clips, frames, bands).

    Args:
        audio: Whole hops of 16 kHz audio, (clips, samples).
        weights: The weight of each band, (bands,).
        shape: The codec's size.
    """
    first, last = audio[:, : shape.block], audio[:, -shape.block :]
    behind = shape.upsampling[0] - shape.lead_blocks
    padded = torch.cat([first.repeat(1, shape.lead_blocks), audio, last.repeat(1, behind)], dim=1)
    basis = torch.as_tensor(mdct_basis(len(weights), shape.hop), dtype=torch.float32, device=audio.device)
    return padded.unfold(1, 2 * shape.hop, shape.hop) @ (basis * weights[:, None]).T


def codec_config(shape: CodecShape = MUSIC) -> EncodecConfig:
    """The configuration of a bundled codec of 16 kHz.

    Args:
        shape: Its size.
    """
    return EncodecConfig(
        sampling_rate=SAMPLE_RATE,
        audio_channels=1,
        target_bandwidths=[SAMPLE_RATE / shape.hop * len(shape.spans) * np.log2(shape.size) / 1000],
        codebook_size=shape.size,
        hidden_size=shape.bands,
        num_filters=shape.filters,
        upsampling_ratios=list(shape.upsampling),
        num_residual_layers=0,
        num_lstm_layers=1,
        kernel_size=1,
        last_kernel_size=1,
        use_causal_conv=False,
        pad_mode="replicate",
    )


@torch.no_grad()
def build_codec(weights: Tensor, codebooks: Tensor, shape: CodecShape = MUSIC) -> EncodecModel:
    """The codec with the transform in its convolutions and the codebooks in its quantiser.

    The large matrices hold bfloat16 numbers, so that storing them as such changes nothing.

    Args:
        weights: How much the quantiser minds an error in each band, (bands,).
        codebooks: The residual codebooks in weighted bands, (codebooks, size, bands).
        shape: The codec's size.
    """
    model = EncodecModel(codec_config(shape)).eval()
    for name, parameter in model.named_parameters():
        if ".lstm." in name:
            parameter.zero_()
    basis = torch.as_tensor(mdct_basis(shape.bands, shape.hop), dtype=torch.float64)
    _fill_encoder(_convolutions(model.encoder), basis * weights.double()[:, None].cpu(), shape)
    _fill_decoder(_convolutions(model.decoder), basis / weights.double()[:, None].cpu(), shape)
    for layer, codebook in zip(model.quantizer.layers, codebooks, strict=True):
        layer.codebook.embed.copy_(codebook.to(torch.bfloat16))
        layer.codebook.embed_avg.copy_(layer.codebook.embed)
        layer.codebook.cluster_size.fill_(1.0)
    return model


def _convolutions(stack: nn.Module) -> list[Any]:
    return [module for module in stack.modules() if isinstance(module, nn.Conv1d | nn.ConvTranspose1d)]


def _fill_encoder(convolutions: list[Any], basis: Tensor, shape: CodecShape) -> None:
    """Lift the samples by their bias, fold them into channels, transform, and take the bias off."""
    first, *folds, transform, last = convolutions
    lift = torch.zeros(first.weight.shape)
    lift[0, 0, 0] = 1
    _set(first, lift, bias=SAMPLE_BIAS * (torch.arange(len(lift)) == 0))
    samples = 1
    for fold in folds:
        _set(fold, _fold(tuple(fold.weight.shape), fold.stride[0], samples))
        samples *= fold.stride[0]
    weight = torch.zeros(transform.weight.shape, dtype=torch.float64)
    # Sample n of the window is channel n % block at tap n // block.
    weight[: len(basis), : shape.block] = basis.unflatten(1, (-1, shape.block)).transpose(1, 2)
    weight = weight.to(torch.bfloat16).double()
    bias = torch.zeros(len(weight), dtype=torch.float64)
    bias[: len(basis)] = shape.bias
    _set(transform, weight, bias - SAMPLE_BIAS * weight.sum(dim=(1, 2)))
    _set(last, _identity(tuple(last.weight.shape)), torch.full((len(last.weight),), -shape.bias))


def _fill_decoder(convolutions: list[Any], basis: Tensor, shape: CodecShape) -> None:
    """Lift the bands by their bias, transform back, unfold channels into samples, and take the bias off."""
    first, transform, *unfolds, last = convolutions
    bands = len(basis)
    lift = torch.zeros(len(first.weight))
    lift[:bands] = shape.bias
    lift[bands : bands + 3] = 1
    _set(first, _identity(tuple(first.weight.shape)), lift)
    weight = torch.zeros(transform.weight.shape, dtype=torch.float64)
    weight[:bands, : shape.block] = basis.unflatten(1, (-1, shape.block)).transpose(1, 2)
    weight = weight.to(torch.bfloat16).double()
    # What the bands' bias adds differs from tap to tap, which a convolution's bias cannot take off: three
    # channels that are always 1 do, each holding the next 8 bits of the correction.
    rest = -shape.bias * weight.sum(dim=0)
    for part in range(bands, bands + 3):
        weight[part] = rest.to(torch.bfloat16).double()
        rest = rest - weight[part]
    _set(transform, weight, SAMPLE_BIAS * (torch.arange(weight.shape[1]) < shape.block))
    samples = shape.block
    for unfold in unfolds:
        samples //= unfold.stride[0]
        _set(unfold, _fold(tuple(unfold.weight.shape), unfold.stride[0], samples))
    drop = torch.zeros(last.weight.shape)
    drop[0, 0, 0] = 1
    _set(last, drop, torch.tensor([-SAMPLE_BIAS]))


def _identity(shape: tuple[int, ...]) -> Tensor:
    weight = torch.zeros(shape)
    weight[:, :, 0] = torch.eye(*shape[:2])
    return weight


def _fold(shape: tuple[int, ...], stride: int, samples: int) -> Tensor:
    """Weights between one block of `stride * samples` channels and `stride` blocks of `samples` channels.

    The same weights fold (convolution: wide, narrow, taps) and unfold (transposed: wide, narrow, taps).
    """
    weight = torch.zeros(shape)
    lead = stride - stride // 2
    for phase in range(stride):
        for sample in range(samples):
            weight[phase * samples + sample, sample, phase + lead] = 1
    return weight


def _set(convolution: Any, weight: Tensor, bias: Tensor | None = None) -> None:
    """Write the weight into the two factors of the weight normalisation: a gain and a vector for each row."""
    gain, vector = (getattr(convolution.parametrizations.weight, f"original{part}") for part in (0, 1))
    norm = weight.double().flatten(1).norm(dim=1)[:, None, None]
    gain.copy_(norm)
    # A row of zeros has gain zero; its vector must not be zero, because it is divided by its norm.
    vector.copy_(torch.where(norm > 0, weight.double(), torch.ones_like(weight, dtype=torch.float64)))
    convolution.bias.zero_() if bias is None else convolution.bias.copy_(bias)
