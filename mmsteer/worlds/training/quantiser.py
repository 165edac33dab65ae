"""Residual vector quantisation fitted by k-means: each codebook explains what the ones before it left over."""

import torch
from torch import Tensor

CHUNK = 65536


def fit_codebooks(frames: Tensor, codebooks: int, size: int, *, iterations: int = 30, seed: int = 0) -> Tensor:
    """Codebooks for residual quantisation, (codebooks, size, width), rounded to bfloat16.

    Args:
        frames: What is to be quantised, (n, width) float32; n well above `size`.
        codebooks: How many stages.
        size: Entries a stage.
        iterations: Rounds of Lloyd's algorithm a stage; half of them first on a tenth of the frames.
        seed: Seed of the first centres and of the revival of unused entries.
    """
    generator = torch.Generator(frames.device).manual_seed(seed)
    residual, stages = frames.clone(), []
    for _ in range(codebooks):
        centres = _start(residual, size, generator)
        few = residual[
            torch.randperm(len(residual), generator=generator, device=frames.device)[
                : max(size * 16, len(residual) // 10)
            ]
        ]
        for sample in (few, residual):
            for _ in range(iterations // 2):
                centres = _lloyd(sample, centres, generator)
        centres = centres.to(torch.bfloat16).float()
        stages.append(centres)
        residual -= centres[_nearest(residual, centres)]
    return torch.stack(stages)


def encode(frames: Tensor, codebooks: Tensor) -> Tensor:
    """Codes of the frames, (n, codebooks) int64: at each stage the nearest entry, as EnCodec chooses it.

    Args:
        frames: (n, width) float32.
        codebooks: (codebooks, size, width).
    """
    residual, codes = frames.clone(), []
    for codebook in codebooks:
        codes.append(_nearest(residual, codebook))
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
