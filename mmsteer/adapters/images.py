"""Images as models want them: upright RGB, neither broken nor absurd.

What can be converted is: CMYK, palettes, grey of 8 or 16 bits, transparency (over white), and the rotation that a
camera wrote down. The rest is refused before any compute.
"""

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mmsteer.errors import AdapterError

LEAST_SIDE = 4
"""Pixels. Below it an image processor cannot tell pixels from channels."""

MOST_PIXELS = 64_000_000
MOST_RATIO = 100
"""Of the longer side to the shorter one."""

_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")
_NOT_COLOURS = ("F", "I")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def read_image(path: str | Path) -> Image.Image:
    """Read an image file, RGB.

    Args:
        path: The file, in any format that Pillow reads; of an animation the first frame.

    Raises:
        AdapterError: The file is missing, no image, cut short, or beyond the limits of this module.
    """
    try:
        with warnings.catch_warnings():
            # The size is judged below, with a message of our own.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
    except _BROKEN as reason:
        raise AdapterError(f"cannot read the image {str(path)!r}: {reason}") from reason
    with image:
        return upright_rgb(image, str(path))


def upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """An image as upright RGB.

    Args:
        image: The image; its pixels may not have been read yet.
        name: What an error calls it.

    Raises:
        AdapterError: The pixels cannot be read, are no colours, or the image is beyond the limits of this module.
    """
    _check_size(image, name)
    try:
        image.load()
        return _rgb(ImageOps.exif_transpose(image), name)
    except _BROKEN as reason:
        raise AdapterError(f"the image {name!r} is damaged: {reason}; save or download it again") from reason


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    longer, shorter = max(image.size), min(image.size)
    if shorter < LEAST_SIDE:
        problem = f"each side must have {LEAST_SIDE} pixels or more"
    elif width * height > MOST_PIXELS:
        problem = f"at most {MOST_PIXELS // 1_000_000} million pixels are read; make it smaller"
    elif longer > MOST_RATIO * shorter:
        problem = f"one side may be at most {MOST_RATIO} times the other; crop it"
    else:
        return
    raise AdapterError(f"the image {name!r} has {width}x{height} pixels; {problem}")


def _rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in _NOT_COLOURS:
        raise AdapterError(
            f"the image {name!r} has pixels of mode {image.mode!r}, which are no colours; save it as RGB"
        )
    if image.mode in _DEEP_GREY:
        # Pillow would cut everything above 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
