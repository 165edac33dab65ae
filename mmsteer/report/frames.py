"""Frames of a clip, shaded over its spectrogram by what they have to do with an output."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from mmsteer.attribution import Attribution
from mmsteer.eval.sound_file import to_flac
from mmsteer.report.shades import cell, data_url, shades
from mmsteer.report.spectrograms import HOP_S, spectrogram
from mmsteer.report.svg import drawing, element

WIDE, HIGH = 840.0, 180.0
"""Of the drawing, in pixels."""


@dataclass(frozen=True, eq=False)
class Clip:
    """The clip that frames are of.

    Attributes:
        wave: (samples,) or (samples, 2), full scale 1.
        sample_rate: In Hz.
        rate: Frames per second.
    """

    wave: Any
    sample_rate: int
    rate: float


def shaded_frames(found: Attribution, clip: Clip) -> Markup:
    """The clip as a spectrogram under a column for each frame.

    `found`: its units are frames, named by the second in which each begins.
    """
    wave = np.asarray(clip.wave, dtype=np.float32)
    seen = spectrogram(wave if wave.ndim == 1 else wave.mean(axis=1), clip.sample_rate)
    seen_s, frame_s = Image.open(io.BytesIO(seen)).width * HOP_S, 1 / clip.rate
    starts = [float(name.removesuffix(" s")) for name in found.names]
    scale = WIDE / max(seen_s, starts[-1] + frame_s)  # delayed codes go on behind the end of the clip
    href = data_url(seen, "image/png")
    parts = [element("image", href=href, width=seen_s * scale, height=HIGH, preserveAspectRatio="none")]
    parts += [
        cell(start * scale, 0, frame_s * scale, HIGH, shade, f"{name}: {float(value):+.3f}")
        for start, name, value, shade in zip(starts, found.names, found.values, shades(found.values), strict=True)
    ]
    return drawing(WIDE, HIGH, f"what {len(starts)} frames have to do with the output", parts, "frames")


def player(clip: Clip) -> Markup:
    """The clip, inside the page, to be played."""
    wave = np.asarray(clip.wave, dtype=np.float32)
    return Markup('<p><audio controls src="{}"></audio></p>').format(
        data_url(to_flac(wave, clip.sample_rate), "audio/flac")
    )
