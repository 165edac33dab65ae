"""Contrasts between what an image is replaced by: a masked copy, or nothing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mmsteer.data.contrasts.contrast import Contrast, paired
from mmsteer.errors import DataError
from mmsteer.types import Positions, Sample


def masked(
    samples: Sequence[Sample],
    seed: int,
    *,
    side: int,
    patch: int,
    copies: int = 50,
    ratio: float = 0.99,
    pool: Literal["tokens", "mean"] = "tokens",
) -> Contrast:
    """Copies with masked patches (1) against the whole image (0), for sites of the vision tower: VTI's visual arm.

    Images are cut to the square that the tower sees, so that a mask covers whole patches of its grid; masked
    patches take the image's mean colour. Probes average over the copies of a group.

    Args:
        samples: Images with any prompt.
        seed: Seed of the masks.
        side: Side of the images that the vision tower sees, in pixels.
        patch: Side of its patches, in pixels.
        copies: Masked copies of each image.
        ratio: Share of the patches that is masked, rounded down.
        pool: `tokens` for a direction at each token of a tower of fixed resolution, else `mean`.

    Raises:
        DataError: The numbers make no mask, or a sample has no image.

    Source: Liu, Ye and Zou 2025, arXiv:2410.15778; 50 copies and a ratio of .99 are its program's.
    """
    cells = (side // patch) ** 2 if 0 < patch <= side else 0
    hidden = int(ratio * cells)
    if not 0 < hidden < cells or copies < 1:
        raise DataError(
            f"{copies} copies with {hidden} of {cells} patches masked (side {side}, patch {patch}, ratio {ratio}); "
            "mask some patches and not all, in one copy or more"
        )
    made: list[Sample] = []
    for index, sample in enumerate(samples):
        image = _square(sample, side)
        made.append(replace(sample, id=f"{sample.id}/whole", images=(image,)))
        for copy in range(copies):
            covered = _cover(image, patch, hidden, np.random.default_rng([seed, index, copy]))
            made.append(replace(sample, id=f"{sample.id}/masked {copy}", images=(covered,)))
    return Contrast(
        name="masked",
        samples=tuple(made),
        labels=(0, *[1] * copies) * len(samples),
        groups=tuple(sample.id for sample in samples for _ in range(1 + copies)),
        positions=Positions("all"),
        pool=pool,
    )


def no_image(samples: Sequence[Sample]) -> Contrast:
    """The prompt with its image (1) against the prompt alone (0), read at the last token.

    Of prompts it is VISTA's contrast, one vector an image (`per_image_directions`); of prompts answered truly it is
    REVIS's raw direction.

    Args:
        samples: Images, prompts, and answers if any.

    Raises:
        DataError: A sample has no image.

    Source: VISTA, arXiv:2502.03628; REVIS, arXiv:2602.11824.
    """
    for sample in samples:
        _check_image(sample)
    pairs = [
        (sample.id, replace(sample, id=f"{sample.id}/image"), replace(sample, id=f"{sample.id}/blind", images=()))
        for sample in samples
    ]
    return paired("no image", pairs)


def _check_image(sample: Sample) -> None:
    kinds = ", ".join(type(one).__name__ for one in sample.images)
    if len(sample.images) != 1 or not isinstance(sample.images[0], Image.Image):
        raise DataError(f"{sample.id}: expected one PIL image, got {kinds or 'none'}")


def _square(sample: Sample, side: int) -> Image.Image:
    _check_image(sample)
    return ImageOps.fit(sample.images[0].convert("RGB"), (side, side), Image.Resampling.BICUBIC)


def _cover(image: Image.Image, patch: int, hidden: int, rng: np.random.Generator) -> Image.Image:
    pixels: NDArray[np.uint8] = np.asarray(image).copy()
    mean = pixels.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    across = image.width // patch
    for cell in rng.choice(across**2, hidden, replace=False):
        top, left = (int(part) * patch for part in divmod(int(cell), across))
        pixels[top : top + patch, left : left + patch] = mean
    return Image.fromarray(pixels)
