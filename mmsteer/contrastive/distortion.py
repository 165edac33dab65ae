"""What the contrasted branch is told: a noisy image, a confused instruction, or no image at all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmsteer.contrastive.decoding import ContrastiveDecoding
from mmsteer.errors import AdapterError
from mmsteer.types import Adapter, Sample

NOISE_STEPS = 1000

CONFUSED = "You are a confused describer who mixes up what is seen and names things that are not in the picture."
"""The instruction of `icd`. Its wording is this project's; the paper uses another one of the same meaning."""


def vcd(
    adapter: Adapter,
    samples: Sequence[Sample],
    *,
    strength: float = 1.0,
    cutoff: float = 0.1,
    step: int = 500,
    seeds: Sequence[int] | None = None,
) -> ContrastiveDecoding:
    """Visual contrastive decoding: against what the model says of a noisy image.

    Args:
        adapter: The model.
        samples: The prompts that will be generated from, in their order.
        strength: The factor a of the contrast.
        cutoff: The share b of the largest probability below which a token is out of the question.
        step: How far the image is diffused; see `noised`.
        seeds: As for `noised`.

    Source: Leng et al. 2024, arXiv:2311.16922.
    """
    inputs = _inputs(adapter, samples)
    distorted = noised(inputs, step=step, seeds=seeds)
    return ContrastiveDecoding(adapter.model, inputs, distorted, strength=strength, cutoff=cutoff)


def icd(
    adapter: Adapter,
    samples: Sequence[Sample],
    *,
    prefix: str = CONFUSED,
    strength: float = 1.0,
    cutoff: float = 0.1,
) -> ContrastiveDecoding:
    """Instruction contrastive decoding: against what the model says when it is told to be confused.

    Args:
        adapter: The model.
        samples: The prompts that will be generated from, in their order.
        prefix: What to put before each prompt. The default differs from the paper's words: give those to
            reproduce its numbers.
        strength: The factor a of the contrast.
        cutoff: The share b of the largest probability below which a token is out of the question.

    Source: Wang et al. 2024, arXiv:2403.18715.
    """
    confused = [replace(sample, prompt=f"{prefix} {sample.text}".rstrip()) for sample in samples]
    distorted = _inputs(adapter, confused)
    return ContrastiveDecoding(adapter.model, _inputs(adapter, samples), distorted, strength=strength, cutoff=cutoff)


def text_only(
    adapter: Adapter, samples: Sequence[Sample], *, strength: float = 1.0, cutoff: float = 0.1
) -> ContrastiveDecoding:
    """Contrast with what the model says without seeing any image: its prior.

    Args:
        adapter: The model.
        samples: The prompts that will be generated from, in their order.
        strength: The factor a of the contrast.
        cutoff: The share b of the largest probability below which a token is out of the question.

    Source: the contrast of M3ID, Favero et al. 2024, arXiv:2403.14003, at a constant strength: theirs grows with
    the length of the answer.
    """
    distorted = _inputs(adapter, [replace(sample, images=()) for sample in samples])
    return ContrastiveDecoding(adapter.model, _inputs(adapter, samples), distorted, strength=strength, cutoff=cutoff)


def noised(inputs: Mapping[str, Any], *, step: int = 500, seeds: Sequence[int] | None = None) -> dict[str, Any]:
    """The arguments of a model with Gaussian noise on the normalised pixels.

    Args:
        inputs: What the processor made, `pixel_values` among it.
        step: Of 1000 steps of diffusion with sigmoid betas; 0 leaves almost the image, 999 almost noise alone.
        seeds: One for each image: packed images are told apart by `image_grid_thw`, others are the rows of
            `pixel_values`. None is 0 for each. The same seed and shape give the same noise in any batch.

    Raises:
        AdapterError: There is no image, no such step, or not one seed for each image.

    Source: Ho et al. 2020, arXiv:2006.11239, with the betas of Leng et al. 2024, arXiv:2311.16922.
    """
    if inputs.get("pixel_values") is None:
        raise AdapterError("there is no image to put noise on; contrast with another instruction instead (icd)")
    pixels: Tensor = inputs["pixel_values"]
    images = pixels.split(_rows(inputs, pixels))
    seeds = [0] * len(images) if seeds is None else seeds
    if len(seeds) != len(images):
        raise AdapterError(f"{len(seeds)} seeds for {len(images)} images; give one for each, or none")
    kept = _kept(step)
    noisy = [_diffused(image, kept, seed) for image, seed in zip(images, seeds, strict=True)]
    return {**inputs, "pixel_values": torch.cat(noisy)}


def _rows(inputs: Mapping[str, Any], pixels: Tensor) -> list[int]:
    """How many rows of the pixels each image has."""
    grid = inputs.get("image_grid_thw")
    return [1] * len(pixels) if grid is None else grid.prod(dim=-1).tolist()


def _kept(step: int) -> float:
    """The share of the variance that is still the image's after a step of diffusion.

    Raises:
        AdapterError: There is no such step.
    """
    if not 0 <= step < NOISE_STEPS:
        raise AdapterError(f"there is no step {step} of diffusion; choose from 0 to {NOISE_STEPS - 1}")
    betas = torch.linspace(-6, 6, NOISE_STEPS, dtype=torch.float64).sigmoid() * (5e-3 - 1e-5) + 1e-5
    return float((1 - betas)[: step + 1].prod())


def _diffused(image: Tensor, kept: float, seed: int) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed)).to(image)
    if image.ndim > 3:
        # A tile of zeros is padding, and models find it by its zeros.
        noise = noise * (image != 0).flatten(-3).any(dim=-1)[..., None, None, None]
    return kept**0.5 * image + (1 - kept) ** 0.5 * noise


def _inputs(adapter: Adapter, samples: Sequence[Sample]) -> dict[str, Any]:
    return dict(adapter.reading(samples).arguments)
