"""Images of a request: data URLs alone. Nothing is fetched, and no file is read."""

import base64
import binascii
import re
from collections.abc import Sequence

from PIL import Image

from mmsteer.errors import AdapterError, ServingError
from mmsteer.images import FORMATS, decode_image

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
    return tuple(_picture(url, f"image {number}") for number, url in enumerate(urls, 1))


def _picture(url: str, name: str) -> Image.Image:
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
        return decode_image(base64.b64decode(url[head.end() :], validate=True), name)
    except binascii.Error:
        raise ServingError(f"{name} is no base64; encode it again", field="messages") from None
    except AdapterError as cause:
        raise ServingError(str(cause), field="messages") from None
