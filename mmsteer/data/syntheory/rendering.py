"""Items as sound.

The default renderer is the project's own synthesiser and **not a SoundFont**: each General MIDI family is played by
one of its timbres, and each of the 92 programs varies that timbre's brightness, attack and ring by a draw that the
program number seeds. A program is thus a sound source that can be held out, but no recording of an instrument, and
programs of one family are more alike than real instruments are. For recorded instruments give
`load_soundfont().render`; SynTheory played the font TimGM6mb through another player (rustysynth), so even then the
samples differ. Clips are not normalised, and a SoundFont is quieter.
"""

import random
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmsteer.data.midi import MAX_VALUE, MidiTrack
from mmsteer.data.syntheory.catalogue import CLIP_S, Item
from mmsteer.data.syntheory.percussion import is_percussion, render_clicks
from mmsteer.data.syntheory.programs import family
from mmsteer.data.synthesis import TIMBRES, Note, Timbre
from mmsteer.data.synthesis import render as render_notes
from mmsteer.errors import DataError

FAMILY_TIMBRES: Mapping[str, str] = MappingProxyType(
    {
        "piano": "piano",
        "chromatic percussion": "marimba",
        "organ": "organ",
        "guitar": "guitar",
        "bass": "guitar",
        "strings": "strings",
        "ensemble": "strings",
        "brass": "strings",
        "reed": "clarinet",
        "pipe": "flute",
        "synth lead": "clarinet",
        "synth pad": "organ",
        "ethnic": "guitar",
    }
)
# A partial's amplitude is multiplied by its ratio to a power of at most this.
BRIGHTNESS = 0.6
# Times are multiplied by 2 to a power of at most this.
OCTAVES_OF_TIME = 0.8


class Renderer(Protocol):
    """Anything that plays a track from its start, such as `synthesise` or `SoundFont.render`."""

    def __call__(self, track: MidiTrack, seconds: float, sample_rate: int) -> NDArray[np.float32]:
        """The first seconds of a track, (samples,) float32 mono.

        Args:
            track: What to play.
            seconds: Length of the result.
            sample_rate: Samples per second.
        """


def synthesise(track: MidiTrack, seconds: float, sample_rate: int = 16000) -> NDArray[np.float32]:
    """A track played by the project's own synthesiser, (samples,) float32.

    Args:
        track: What to play.
        seconds: Length of the result.
        sample_rate: Samples per second.

    Raises:
        DataError: The program has no timbre, or the length or the sampling rate is not positive.
    """
    if not (seconds > 0 and sample_rate > 0):
        raise DataError(f"cannot render {seconds} s at {sample_rate} Hz; both must be above 0")
    if is_percussion(track):
        return render_clicks(track, seconds, sample_rate)
    notes = [
        Note(track.seconds(note.start), track.seconds(note.duration), note.pitch, note.velocity / MAX_VALUE)
        for note in track.notes
    ]
    return render_notes(notes, program_timbre(track.program), seconds, sample_rate)


def render(item: Item, sample_rate: int = 16000, renderer: Renderer = synthesise) -> NDArray[np.float32]:
    """The clip of an item, exactly 4.0 s, (samples,) float32 mono; the same item gives the same bytes.

    Args:
        item: What to render.
        sample_rate: Samples per second.
        renderer: What plays it; `load_soundfont().render` for a SoundFont.

    Raises:
        DataError: The renderer cannot play the item.
    """
    first, samples = round(item.start_s * sample_rate), round(CLIP_S * sample_rate)
    return renderer(item.track, (first + samples) / sample_rate, sample_rate)[first : first + samples]


@cache
def program_timbre(program: int) -> Timbre:
    """The timbre that stands for a General MIDI program: its family's, varied without touching the pitch.

    `program`: A program of a family in `FAMILY_TIMBRES`.

    Raises:
        DataError: The program belongs to another family.
    """
    name = family(program)
    if name not in FAMILY_TIMBRES:
        raise DataError(
            f"program {program} ({name}) has no timbre; "
            f"choose one of {sorted(FAMILY_TIMBRES)}, or render with a SoundFont"
        )
    base, rng = TIMBRES[FAMILY_TIMBRES[name]], random.Random(program)
    tilt = rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    attack, ring = (2 ** rng.uniform(-OCTAVES_OF_TIME, OCTAVES_OF_TIME) for _ in range(2))
    pairs = zip(base.ratios, base.amplitudes, strict=True)
    return replace(
        base,
        amplitudes=tuple(amplitude * ratio**tilt for ratio, amplitude in pairs),
        attack_s=base.attack_s * attack,
        decay_s=base.decay_s and base.decay_s * ring,
    )
