"""Images of a request: data URLs alone. Nothing is fetched, and no file is read."""

import base64
import re
from collections.abc import Sequence

from PIL import Image

from mmsteer.errors import AdapterError, ServingError
from mmsteer.images import FORMATS, MOST_PIXELS, open_image, upright_rgb

IMAGE_BYTES = 8 << 20
IMAGES = 8
"""Most images of a request."""

_DATA = re.compile(rf"data:image/(?:{'|'.join(one.lower() for one in FORMATS)});base64,")


def read_pictures(urls: Sequence[str]) -> tuple[Image.Image, ...]:
    """The images of a request, RGB.

    Args:
        urls: Their data URLs.

    Raises:
        ServingError: One is no data URL of an image that can be read, or too large, or there are too many.
    """
    if len(urls) > IMAGES:
        raise ServingError(f"{len(urls)} images; at most {IMAGES} are taken", field="messages")
    names = [f"image {number}" for number in range(1, len(urls) + 1)]
    try:
        opened: list[Image.Image] = []
        for url, name in zip(urls, names, strict=True):
            opened.append(open_image(_data(url, name), name))
            _check_pixels(opened)
        return tuple(map(upright_rgb, opened, names))
    except AdapterError as cause:
        raise ServingError(str(cause), field="messages") from None


def _check_pixels(opened: Sequence[Image.Image]) -> None:
    pixels = sum(image.width * image.height for image in opened)
    if pixels > MOST_PIXELS:
        raise ServingError(
            f"the images have {pixels} pixels or more together; at most {MOST_PIXELS // 1_000_000} million are read; "
            "make them smaller",
            field="messages",
        )


def _data(url: str, name: str) -> bytes:
    head = _DATA.match(url)
    if not head:
        raise ServingError(
            f"{name}: {url[:40]!r} is no data URL of an image; send data:image/png;base64,... ({', '.join(FORMATS)}), "
            "because no address is fetched and no file is read",
            field="messages",
        )
    if len(url) > IMAGE_BYTES * 4 // 3 + 100:
        raise ServingError(f"{name} has more than {IMAGE_BYTES >> 20} MiB; make it smaller", field="messages")
    try:
        return base64.b64decode(url[head.end() :], validate=True)
    except ValueError:
        raise ServingError(f"{name} is no base64; encode it again", field="messages") from None
