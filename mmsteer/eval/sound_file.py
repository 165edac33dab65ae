"""Audio files, read to their end whatever their headers say of the length, and written."""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from mmsteer.errors import EvalError

STREAMED = 0x7FFFF000  # a WAV written to a pipe promises this much or more: its length was never filled in
PADDING = 8  # bytes that careless writers count but do not write
ID3, ID3_HEADER = b"ID3", 10  # bytes
MOST_TAGS = 100  # before the sound; players write one or two


@contextmanager
def open_sound(path: Path) -> Iterator[soundfile.SoundFile]:
    """A sound file to read from.

    The length of an MP3 without a Xing header is guessed by libsndfile from its size, cover art included, and what lies
    beyond the guess is not decoded. Through a pipe, from behind the tags on, nothing is guessed.

    Raises:
        EvalError: A WAV is shorter than its header promises, or an MP3 begins with tags without number.
        soundfile.LibsndfileError: It is no audio.
    """
    with path.open("rb") as data:
        start = _mp3_start(data)
        if start is None:
            check_riff(path)
            with soundfile.SoundFile(path) as file:
                yield file
            return
        data.seek(start)
        reading, writing = os.pipe()
        feeder = threading.Thread(target=_feed, args=(data, writing), daemon=True)
        feeder.start()
        try:
            with soundfile.SoundFile(reading, closefd=False) as file:
                yield file
        finally:
            os.close(reading)  # ends the feeder, too, which otherwise waits for a reader
            feeder.join()


def to_flac(wave: np.ndarray, sample_rate: int) -> bytes:
    """Audio as a FLAC file of 16 bit; what exceeds full scale is clipped.

    `wave`: (samples,) or (samples, channels).
    `sample_rate`: in Hz.
    """
    file = io.BytesIO()
    soundfile.write(file, np.clip(wave, -1.0, 1.0), sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _mp3_start(data: BinaryIO) -> int | None:
    """Where the first frame of an MP3 begins, behind its tags; None for any other file.

    Raises:
        EvalError: There are too many tags.
    """
    at = 0
    for _ in range(MOST_TAGS):
        data.seek(at)
        head = data.read(ID3_HEADER)
        if len(head) < ID3_HEADER or head[:3] != ID3:
            break
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        at += ID3_HEADER + size + (ID3_HEADER if head[5] & 0x10 else 0)  # a footer repeats the header
    else:
        raise EvalError(f"{data.name}: more than {MOST_TAGS} ID3 tags stand before the sound; write the file again")
    # Eleven bits of synchronisation, then two of the version and "layer III".
    is_frame = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2
    return at if is_frame else None


def _feed(data: BinaryIO, pipe: int) -> None:
    # The reader may leave early.
    with suppress(OSError), os.fdopen(pipe, "wb") as sink:
        while part := data.read(1 << 16):
            sink.write(part)


def check_riff(path: Path) -> None:
    """Compare the length that a WAV header promises with the file: libsndfile shortens it silently.

    Raises:
        EvalError: The file ends too early.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return
    promised, there = int.from_bytes(head[4:8], "little") + 8, path.stat().st_size
    if there + PADDING < promised < STREAMED:
        raise EvalError(
            f"{path}: the file is cut off: its header promises {promised} bytes, {there} are there; "
            "copy or render it again"
        )
