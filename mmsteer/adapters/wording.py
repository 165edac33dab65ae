"""What cannot stand in a text that a model is given."""

from collections.abc import Set
from typing import Any

from mmsteer.errors import AdapterError

_NAMES = ("image_token", "video_token", "audio_token", "boi_token", "boa_token", "fake_image_token")
_IDS = ("image_token_id", "video_token_id", "audio_token_id")


def marks_of(processor: Any, config: Any) -> frozenset[str]:
    """What stands for an image, a video or a sound in a prompt: what the processor writes, and what the model replaces.

    `processor`: the model's processor.
    `config`: the model's configuration.
    """
    ids = (getattr(config, name, None) for name in _IDS)
    replaced = [processor.tokenizer.convert_ids_to_tokens(one) for one in ids if isinstance(one, int)]
    # InstructBLIP's processor has an AddedToken.
    written = (str(mark) for name in _NAMES if (mark := getattr(processor, name, None)))
    return frozenset(filter(None, (*written, *replaced)))


def check_text(name: str, text: str, marks: Set[str]) -> None:
    """Refuse a text that the tokenizer cannot read, or in which an image is written down rather than given.

    `name`: what an error calls it.
    `marks`: what stands for an image, a video or a sound.

    Raises:
        AdapterError: The text has half of a surrogate pair, or one of the marks.
    """
    broken = next((place for place, one in enumerate(text) if "\ud800" <= one <= "\udfff"), None)
    if broken is not None:
        raise AdapterError(
            f"{name}: character {broken} of the text is half of a surrogate pair ({text[broken]!a}), no character; "
            "read or decode the text again, as UTF-8"
        )
    typed = next((mark for mark in sorted(marks) if mark in text), None)
    if typed is not None:
        raise AdapterError(
            f"{name}: {typed} in a text stands for an image, which is put in by itself; leave it out, and give the "
            "image beside the text"
        )
