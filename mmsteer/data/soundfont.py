"""MIDI tracks rendered through FluidSynth and a SoundFont.

Needs the extra `soundfont`, the FluidSynth library and a General MIDI SoundFont; on Debian
`apt-get install libfluidsynth3 timgm6mb-soundfont`.

The same track gives the same bytes. FluidSynth's reverb, chorus and dither carry their state from clip to clip,
even through a reset, so a fresh synthesiser plays every clip, in floating point; it shares the samples that are
already loaded. Reverb and chorus stay on. Another release of FluidSynth may give other bytes.
"""

import ctypes
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from mmsteer.data.midi import REVERB_SEND, MidiTrack
from mmsteer.errors import DataError

SOUNDFONT_VARIABLE = "MMSTEER_SOUNDFONT"
FOLDERS = (Path("/usr/share/sounds/sf2"), Path("/usr/share/soundfonts"))
# SynTheory's own font first.
PREFERRED = ("TimGM6mb.sf2", "FluidR3_GM.sf2")
# SoundFont samples are recorded near this rate; FluidSynth does not filter what it plays below it.
NATIVE_RATE = 44100
# Samples that FluidSynth renders at once.
BLOCK = 64
# FluidSynth's own default.
GAIN = 0.2
REMEDY = "pip install 'mmsteer[soundfont]' and apt-get install libfluidsynth3 timgm6mb-soundfont"


class _Player(Protocol):
    """The part of `fluidsynth.Synth` that is used here."""

    synth: int

    def sfload(self, filename: str) -> int: ...
    def program_change(self, chan: int, prg: int) -> int: ...
    def cc(self, chan: int, ctrl: int, val: int) -> int: ...
    def noteon(self, chan: int, key: int, vel: int) -> int | bool: ...
    def noteoff(self, chan: int, key: int) -> int | bool: ...
    def all_sounds_off(self, chan: int) -> int: ...
    def get_active_voice_count(self) -> int: ...
    def delete(self) -> None: ...


def find_soundfont(path: str | Path | None = None) -> Path:
    """The SoundFont file to use: the one given, else `$MMSTEER_SOUNDFONT`, else an installed one.

    `path`: A file, or None to look for one.

    Raises:
        DataError: The file named does not exist, or no SoundFont is installed.
    """
    named = path or os.environ.get(SOUNDFONT_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise DataError(f"{named}: no such SoundFont file; name an existing .sf2 file or install one: {REMEDY}")
        return Path(named)
    fonts = [font for folder in FOLDERS for font in sorted(folder.glob("*.sf2"))]
    if not fonts:
        looked = " and ".join(str(folder) for folder in FOLDERS)
        raise DataError(f"no SoundFont in {looked}; {REMEDY}, or set {SOUNDFONT_VARIABLE} to an .sf2 file")
    rank = {name: place for place, name in enumerate(PREFERRED)}
    return min(fonts, key=lambda font: rank.get(font.name, len(rank)))


class SoundFont:
    """A SoundFont held in memory, ready to play tracks; get one from `load_soundfont`.

    Raises:
        DataError: FluidSynth is missing or cannot read the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._library = _fluidsynth()
        self._write = _write_float(self._library)
        # Kept alive so that FluidSynth keeps the samples; it never plays.
        self._keeper = self._player()

    def render(self, track: MidiTrack, seconds: float, sample_rate: int = 16000) -> NDArray[np.float32]:
        """The track as played from its start, (samples,) float32 mono.

        Args:
            track: What to play.
            seconds: Length of the result; what sounds longer is cut.
            sample_rate: Samples per second.

        Raises:
            DataError: The length or the sampling rate is not positive, or FluidSynth stops.
        """
        if not (seconds > 0 and sample_rate > 0):
            raise DataError(f"cannot render {seconds} s at {sample_rate} Hz; both must be above 0")
        # One sample more: rounding to the other rate may need it.
        native = self._play(track, int(seconds * NATIVE_RATE) + 1)
        audio = native if sample_rate == NATIVE_RATE else resample_poly(native, sample_rate, NATIVE_RATE)
        return np.asarray(audio[: round(seconds * sample_rate)], dtype=np.float32)

    def missing(self, program: int, pitches: Iterable[int]) -> tuple[int, ...]:
        """The notes that start no voice, because the font has no sample for them: their clips are silent.

        `program`: general MIDI program.
        `pitches`: MIDI note numbers to try.
        """
        player = self._player()
        player.program_change(0, program)
        found = tuple(pitch for pitch in pitches if not self._voices(player, pitch))
        player.delete()
        return found

    def _voices(self, player: _Player, pitch: int) -> int:
        player.noteon(0, pitch, 64)
        voices = player.get_active_voice_count()
        player.all_sounds_off(0)
        # Voices are given back only while sound is rendered.
        self._listen(player, BLOCK)
        return voices

    def _play(self, track: MidiTrack, samples: int) -> NDArray[np.float32]:
        player = self._player()
        try:
            player.program_change(track.channel, track.program)
            if track.reverb is not None:
                player.cc(track.channel, REVERB_SEND, track.reverb)
            return self._perform(player, track, samples)
        finally:
            player.delete()

    def _perform(self, player: _Player, track: MidiTrack, samples: int) -> NDArray[np.float32]:
        parts, now = [], 0
        for tick, pitch, velocity in track.switches():
            at = min(round(track.seconds(tick) * NATIVE_RATE), samples)
            parts.append(self._listen(player, at - now))
            now = at
            if velocity:
                player.noteon(track.channel, pitch, velocity)
            else:
                player.noteoff(track.channel, pitch)
        parts.append(self._listen(player, samples - now))
        return np.concatenate(parts)

    def _listen(self, player: _Player, samples: int) -> NDArray[np.float32]:
        stereo = np.zeros((2, samples), dtype=np.float32)
        left, right = (side.ctypes.data for side in stereo)
        if samples and self._write(player.synth, samples, left, 0, 1, right, 0, 1):
            raise DataError(f"{self.path}: FluidSynth stopped while rendering")
        return stereo.mean(axis=0)

    def _player(self) -> _Player:
        player: _Player = self._library.Synth(gain=GAIN, samplerate=float(NATIVE_RATE), channels=16)
        if player.sfload(str(self.path)) == self._library.FLUID_FAILED:
            player.delete()
            raise DataError(f"{self.path}: FluidSynth cannot read this file; give a SoundFont 2 file (.sf2)")
        return player


@cache
def _load(path: Path) -> SoundFont:
    return SoundFont(path)


def load_soundfont(path: str | Path | None = None) -> SoundFont:
    """A SoundFont, read once a process.

    `path`: A file, or None for the one that `find_soundfont` finds.

    Raises:
        DataError: FluidSynth or the SoundFont is missing or cannot be read.
    """
    return _load(find_soundfont(path).resolve())


def _fluidsynth() -> ModuleType:
    try:
        # Here, because the import itself loads the library, which not everyone has.
        import fluidsynth
    except ImportError as error:
        raise DataError(f"FluidSynth is not available ({error}); {REMEDY}") from error
    module: ModuleType = fluidsynth
    return module


def _write_float(library: ModuleType) -> Callable[..., int]:
    """FluidSynth's floating-point output, which pyfluidsynth does not wrap."""
    number, address = ctypes.c_int, ctypes.c_void_p
    kinds = (address, number, address, number, number, address, number, number)
    arguments = [(f"argument{place}", kind, 1) for place, kind in enumerate(kinds)]
    function: Callable[..., int] = library.cfunc("fluid_synth_write_float", number, *arguments)
    return function
