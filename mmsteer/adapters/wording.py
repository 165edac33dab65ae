"""What cannot stand in a text that a model is given."""

from typing import Any

from mmsteer.errors import AdapterError

_MARKS = ("image_token", "video_token", "boi_token", "fake_image_token")


def check_text(name: str, text: str, processor: Any) -> None:
    """Refuse a text that the tokenizer cannot read, or in which an image is written down rather than given.

    `name`: what an error calls it.
    `processor`: the model's processor.

    Raises:
        AdapterError: The text has half of a surrogate pair, or a token that stands for an image or a video.
    """
    broken = next((place for place, one in enumerate(text) if "\ud800" <= one <= "\udfff"), None)
    if broken is not None:
        raise AdapterError(
            f"{name}: character {broken} of the text is half of a surrogate pair ({text[broken]!a}), no character; "
            "read or decode the text again, as UTF-8"
        )
    marks = {getattr(processor, mark, None) for mark in _MARKS}
    typed = next((mark for mark in marks if isinstance(mark, str) and mark in text), None)
    if typed is not None:
        raise AdapterError(
            f"{name}: {typed} in a text stands for an image, which is put in by itself; leave it out, and give the "
            "image beside the text"
        )
