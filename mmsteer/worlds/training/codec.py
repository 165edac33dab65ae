"""An `EncodecModel` whose weights compute a lapped cosine transform exactly, and so keep every pitch.

Its strided convolutions move samples into channels (space to depth). The last of them sees 640 samples, two
hops, and holds the windowed cosine basis (MDCT) of the lowest `COEFFICIENTS` bands of 25 Hz; the decoder's first
transposed convolution adds the overlapping windows up again. A bias keeps every ELU in its linear part and is
taken off behind it; the LSTM is zero behind its residual connection. Only the quantiser loses anything.

Source: Princen, Johnson and Bradley 1987 (the transform); Defossez et al. 2022, arXiv:2210.13438 (the model).
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import EncodecConfig, EncodecModel

SAMPLE_RATE = 16000
HOP = 320
WINDOW = 2 * HOP
COEFFICIENTS = 160
CODEBOOKS = 4
CODEBOOK_SIZE = 1024
UPSAMPLING = (5, 4, 2, 2, 2, 2)
# Samples that are channels when the transform is taken: the hop over its stride.
BLOCK = HOP // UPSAMPLING[0]
# A frame's window starts this many blocks before its hop: how EnCodec pads a stride of 5.
LEAD_BLOCKS = UPSAMPLING[0] - UPSAMPLING[0] // 2
# Added so that ELU sees positive numbers only: samples are within ±1, coefficients of them within ±13.
SAMPLE_BIAS = 4.0
COEFFICIENT_BIAS = 16.0


def mdct_basis(coefficients: int = COEFFICIENTS) -> NDArray[np.float64]:
    """The orthonormal lapped cosine basis under a sine window, (coefficients, 640).

    Args:
        coefficients: How many of the lowest of the 320 bands of 25 Hz.
    """
    sample = np.arange(WINDOW) + 0.5
    band = np.arange(coefficients) + 0.5
    window = np.sin(np.pi * sample / WINDOW)
    return np.asarray(window * np.sqrt(2 / HOP) * np.cos(np.pi / HOP * np.outer(band, sample + HOP / 2)))


def mdct_frames(audio: Tensor, weights: Tensor) -> Tensor:
    """What the codec's encoder computes, by one matrix product: (clips, samples) to (clips, frames, bands).

    Args:
        audio: Whole hops of 16 kHz audio, (clips, samples).
        weights: The weight of each band, (bands,).
    """
    first, last = audio[:, :BLOCK], audio[:, -BLOCK:]
    padded = torch.cat([first.repeat(1, LEAD_BLOCKS), audio, last.repeat(1, UPSAMPLING[0] - LEAD_BLOCKS)], dim=1)
    basis = torch.as_tensor(mdct_basis(len(weights)), dtype=torch.float32, device=audio.device)
    return padded.unfold(1, WINDOW, HOP) @ (basis * weights[:, None]).T


def codec_config() -> EncodecConfig:
    """The configuration of the bundled codec: 16 kHz, 50 frames a second, 4 x 1024 codes."""
    return EncodecConfig(
        sampling_rate=SAMPLE_RATE,
        audio_channels=1,
        target_bandwidths=[SAMPLE_RATE / HOP * CODEBOOKS * np.log2(CODEBOOK_SIZE) / 1000],
        codebook_size=CODEBOOK_SIZE,
        hidden_size=COEFFICIENTS,
        num_filters=3,
        upsampling_ratios=list(UPSAMPLING),
        num_residual_layers=0,
        num_lstm_layers=1,
        kernel_size=1,
        last_kernel_size=1,
        use_causal_conv=False,
        pad_mode="replicate",
    )


@torch.no_grad()
def build_codec(weights: Tensor, codebooks: Tensor) -> EncodecModel:
    """The codec with the transform in its convolutions and the codebooks in its quantiser.

    The large matrices hold bfloat16 numbers, so that storing them as such changes nothing.

    Args:
        weights: How much the quantiser minds an error in each band, (bands,).
        codebooks: The residual codebooks in weighted bands, (4, 1024, bands).
    """
    model = EncodecModel(codec_config()).eval()
    for name, parameter in model.named_parameters():
        if ".lstm." in name:
            parameter.zero_()
    basis = torch.as_tensor(mdct_basis(), dtype=torch.float64)
    _fill_encoder(_convolutions(model.encoder), basis * weights.double()[:, None].cpu())
    _fill_decoder(_convolutions(model.decoder), basis / weights.double()[:, None].cpu())
    for layer, codebook in zip(model.quantizer.layers, codebooks, strict=True):
        layer.codebook.embed.copy_(codebook.to(torch.bfloat16))
        layer.codebook.embed_avg.copy_(layer.codebook.embed)
        layer.codebook.cluster_size.fill_(1.0)
    return model


def _convolutions(stack: nn.Module) -> list[Any]:
    return [module for module in stack.modules() if isinstance(module, nn.Conv1d | nn.ConvTranspose1d)]


def _fill_encoder(convolutions: list[Any], basis: Tensor) -> None:
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
    # Sample n of the window is channel n % 64 at tap n // 64.
    weight[: len(basis), :BLOCK] = basis.unflatten(1, (-1, BLOCK)).transpose(1, 2)
    weight = weight.to(torch.bfloat16).double()
    bias = torch.zeros(len(weight), dtype=torch.float64)
    bias[: len(basis)] = COEFFICIENT_BIAS
    _set(transform, weight, bias - SAMPLE_BIAS * weight.sum(dim=(1, 2)))
    _set(last, _identity(tuple(last.weight.shape)), torch.full((len(last.weight),), -COEFFICIENT_BIAS))


def _fill_decoder(convolutions: list[Any], basis: Tensor) -> None:
    """Lift the bands by their bias, transform back, unfold channels into samples, and take the bias off."""
    first, transform, *unfolds, last = convolutions
    bands = len(basis)
    lift = torch.zeros(len(first.weight))
    lift[:bands] = COEFFICIENT_BIAS
    lift[bands : bands + 3] = 1
    _set(first, _identity(tuple(first.weight.shape)), lift)
    weight = torch.zeros(transform.weight.shape, dtype=torch.float64)
    weight[:bands, :BLOCK] = basis.unflatten(1, (-1, BLOCK)).transpose(1, 2)
    weight = weight.to(torch.bfloat16).double()
    # What the bands' bias adds differs from tap to tap, which a convolution's bias cannot take off: three
    # channels that are always 1 do, each holding the next 8 bits of the correction.
    rest = -COEFFICIENT_BIAS * weight.sum(dim=0)
    for part in range(bands, bands + 3):
        weight[part] = rest.to(torch.bfloat16).double()
        rest = rest - weight[part]
    _set(transform, weight, SAMPLE_BIAS * (torch.arange(weight.shape[1]) < BLOCK))
    samples = BLOCK
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
