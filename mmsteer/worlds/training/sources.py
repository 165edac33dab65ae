"""The two worlds of music as sources of training clips: what is rendered, and the codec that it goes through."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsteer.worlds.band import world as band
from mmsteer.worlds.music import world as music
from mmsteer.worlds.training.codec import BAND, MUSIC, CodecShape


@dataclass(frozen=True, eq=False)
class Drawn:
    """A rendered clip.

    Attributes:
        samples: 16 kHz audio, (samples,) float32.
        prompt: What asks for it.
        instrument: Number of its instrument among the source's.
        countdown: Frames until the next onset, 0 at an onset and -1 where none follows, (frames,).
    """

    samples: NDArray[np.float32]
    prompt: str
    instrument: int
    countdown: NDArray[np.int16]


@dataclass(frozen=True)
class Source:
    """A world to train on.

    Attributes:
        shape: The size of its codec.
        frames: Frames a clip.
        instruments: Its instruments.
        draw: Takes seed and number, and renders that clip.
    """

    shape: CodecShape
    frames: int
    instruments: tuple[str, ...]
    draw: Callable[[int, int], Drawn]


def countdown(onset_frames: Sequence[int], frames: int) -> NDArray[np.int16]:
    """Frames until the next onset, 0 at an onset and -1 where none follows, (frames,).

    Args:
        onset_frames: The frames in which notes begin.
        frames: Frames of the clip.
    """
    onsets = np.unique(onset_frames)
    every = np.arange(frames)
    following = np.append(onsets, -1)[np.searchsorted(onsets, every)]
    return np.where(following < 0, -1, following - every).astype(np.int16)


def _music(seed: int, number: int) -> Drawn:
    clip = music.sample_clip(np.random.default_rng([seed, number]))
    onsets = [round(note.onset_s * music.FRAMES_PER_SECOND) for note in clip.notes]
    samples = music.render_clip(clip, np.random.default_rng([seed, number]))
    return Drawn(samples, clip.prompt, music.INSTRUMENTS.index(clip.instrument), countdown(onsets, music.CLIP_FRAMES))


def _band(seed: int, number: int) -> Drawn:
    song = band.sample_song(np.random.default_rng([seed, number]))
    onsets = [band.FIRST_ONSET + at * song.beat_frames for at in range(len(song.beats))]
    instrument = list(band.INSTRUMENTS).index(song.instrument)
    return Drawn(band.render_song(song), song.prompt, instrument, countdown(onsets, band.CLIP_FRAMES))


SOURCES: Mapping[str, Source] = {
    "music": Source(MUSIC, music.CLIP_FRAMES, music.INSTRUMENTS, _music),
    "band": Source(BAND, band.CLIP_FRAMES, tuple(band.INSTRUMENTS), _band),
}
"""By the name of the bundled model."""
