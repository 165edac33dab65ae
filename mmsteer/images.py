"""Images as models want them: upright RGB, neither broken nor absurd.

What can be converted is: CMYK, palettes, grey of 8 or 16 bits, transparency (over white), and the rotation that a
camera wrote down. The rest is refused before any compute.
"""

import io
import struct
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmsteer.errors import AdapterError
from mmsteer.regular_file import open_regular

LEAST_SIDE = 4
"""Pixels. Below it an image processor cannot tell pixels from channels."""

MOST_PIXELS = 64_000_000
MOST_RATIO = 100
"""Of the longer side to the shorter one."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
"""Pillow reads some others by starting programs, as Ghostscript for EPS, or by decoders that few people ever test."""

_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")
_NOT_COLOURS = ("F", "I")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def read_image(path: str | Path) -> Image.Image:
    """Read an image file, RGB.

    Args:
        path: A regular file, PNG, JPEG, WebP, BMP, TIFF or GIF; of an animation the first frame.

    Raises:
        AdapterError: The file is missing, no image of these formats, cut short, or beyond the limits of this module.
    """
    with open_regular(path, AdapterError, "give an image file") as file:
        return upright_rgb(_opened(file, str(path)), str(path))


def open_image(data: bytes, name: str) -> Image.Image:
    """An image in memory whose pixels were not read: `upright_rgb` reads them.

    Args:
        data: What a file of one of these formats holds.
        name: What an error calls it.

    Raises:
        AdapterError: It is no image of these formats.
    """
    return _opened(io.BytesIO(data), name)


def _opened(file: BinaryIO, name: str) -> Image.Image:
    """The header alone is read; the size is judged before any pixel is.

    Raises:
        AdapterError: It is no image of the formats that are read.
    """
    try:
        with warnings.catch_warnings():
            # The size is judged below, with a message of our own.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise AdapterError(
            f"cannot read the image {name!r}: it is damaged, or none of {', '.join(FORMATS)}; save it as PNG"
        ) from None
    except _BROKEN as reason:
        raise AdapterError(f"cannot read the image {name!r}: {reason}; save it again") from reason


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
