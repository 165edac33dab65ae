"""Residual vector quantisation fitted by k-means: each codebook explains what the ones before it left over."""

from collections.abc import Sequence

import torch
from torch import Tensor

CHUNK = 65536


def fit_codebooks(
    frames: Tensor, spans: Sequence[tuple[int, int]], size: int, *, iterations: int = 30, seed: int = 0
) -> Tensor:
    """Codebooks for residual quantisation, (codebooks, size, width), rounded to bfloat16.

    A codebook is zero outside its span of columns: the entry nearest to a frame is then the nearest within the span.
    Codebooks of spans that share no column are a product quantiser.

    Args:
        frames: What is to be quantised, (n, width) float32; n well above `size`.
        spans: The columns that each stage quantises, the first and the one behind the last.
        size: Entries a stage.
        iterations: Rounds of Lloyd's algorithm a stage; half of them first on a tenth of the frames.
        seed: Seed of the first centres and of the revival of unused entries.
    """
    generator = torch.Generator(frames.device).manual_seed(seed)
    residual, stages = frames.clone(), []
    for first, last in spans:
        part = residual[:, first:last]
        centres = _fit(part, size, iterations, generator)
        part -= centres[_nearest(part, centres)]
        stages.append(torch.zeros(size, frames.shape[1], device=frames.device))
        stages[-1][:, first:last] = centres
    return torch.stack(stages)


def _fit(frames: Tensor, size: int, iterations: int, generator: torch.Generator) -> Tensor:
    """The entries of one stage, (size, columns)."""
    centres = _start(frames, size, generator)
    few = frames[
        torch.randperm(len(frames), generator=generator, device=frames.device)[: max(size * 16, len(frames) // 10)]
    ]
    for sample in (few, frames):
        for _ in range(iterations // 2):
            centres = _lloyd(sample, centres, generator)
    return centres.to(torch.bfloat16).float()


def encode(frames: Tensor, codebooks: Tensor) -> Tensor:
    """Codes of the frames, (n, codebooks) int64: at each stage the nearest entry, as EnCodec chooses it.

    Args:
        frames: (n, width) float32.
        codebooks: (codebooks, size, width).
    """
    residual, codes = frames.clone(), []
    for codebook in codebooks:
        used = codebook.any(dim=0)
        codes.append(_nearest(residual[:, used], codebook[:, used]))
        residual -= codebook[codes[-1]]
    return torch.stack(codes, dim=-1)


def decode(codes: Tensor, codebooks: Tensor) -> Tensor:
    """The frames that the codes stand for, (n, width).

    Args:
        codes: (n, codebooks) int64.
        codebooks: (codebooks, size, width).
    """
    return torch.stack([book[column] for book, column in zip(codebooks, codes.T, strict=True)]).sum(dim=0)


def _nearest(frames: Tensor, centres: Tensor) -> Tensor:
    bias = centres.square().sum(dim=1) / 2
    return torch.cat([(part @ centres.T - bias).argmax(dim=1) for part in frames.split(CHUNK)])


def _start(frames: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """First centres: frames drawn in proportion to their energy, half of them, and uniformly, the rest.

    k-means++ on a sample: each centre is the farthest in expectation from those chosen before.
    """
    sample = frames[torch.randint(len(frames), (min(len(frames), 32768),), generator=generator, device=frames.device)]
    centres = sample[:1]
    distance = (sample - centres).square().sum(dim=1)
    while len(centres) < size:
        # Several at once: 32 draws from the same distribution are nearly as good and far fewer steps.
        count = min(32, size - len(centres))
        drawn = torch.multinomial(distance + 1e-12, count, generator=generator)
        centres = torch.cat([centres, sample[drawn]])
        distance = torch.minimum(distance, torch.cdist(sample, sample[drawn]).min(dim=1).values.square())
    return centres


def _lloyd(frames: Tensor, centres: Tensor, generator: torch.Generator) -> Tensor:
    """One round: every centre moves to the mean of its frames; an unused one restarts at a random frame."""
    nearest = _nearest(frames, centres)
    counts = torch.bincount(nearest, minlength=len(centres))
    sums = torch.zeros_like(centres).index_add_(0, nearest, frames)
    restart = torch.randint(len(frames), (len(centres),), generator=generator, device=frames.device)
    return torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], frames[restart])
