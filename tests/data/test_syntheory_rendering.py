"""The project's own renderer plays what the labels say."""

import numpy as np
import pytest

from mmsteer.data.midi import MidiNote, MidiTrack
from mmsteer.data.syntheory import CATEGORIES, PROGRAMS, catalogue, render, synthesise
from mmsteer.data.syntheory.rendering import program_timbre
from mmsteer.data.theory import midi_to_hz
from mmsteer.errors import DataError

RATE = 16000


def strength(audio, hz):
    """Amplitude of the spectrum within a quarter tone of a frequency."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    frequencies = np.fft.rfftfreq(len(audio), 1 / RATE)
    return spectrum[np.abs(np.log2(frequencies.clip(1e-9) / hz)) < 1 / 24].max() / spectrum.max()


def segment(audio, place, count):
    length = len(audio) // count
    # The onset is left out: the note before it still rings there.
    return audio[place * length + length // 3 : (place + 1) * length]


@pytest.mark.parametrize(
    ("name", "labels", "sounding"),
    [
        ("notes", {"root": "A", "octave": 5}, [(69,)] * 4),
        ("intervals", {"interval": 4, "root": "C", "style": "down"}, [(64,), (60,)] * 4),
        ("scales", {"mode": "lydian", "root": "C", "style": "up"}, [(60,), (62,), (64,), (66,), (67,)]),
        ("chords", {"chord_type": "dim", "inversion": "6", "root": "C"}, [(63, 66, 72)] * 4),
        ("simple_progressions", {"progression": "ionian-1451", "key": "C"}, [(60, 64, 67), (60, 65, 69)]),
    ],
)
def test_pitches_are_heard(name, labels, sounding):
    audio = render(catalogue(name).where(program=0, **labels)[0])
    count = {"notes": 4, "chords": 4, "simple_progressions": 4}.get(name, 8)
    for place, pitches in enumerate(sounding):
        heard = segment(audio, place, count)
        assert all(strength(heard, midi_to_hz(pitch)) > 0.3 for pitch in pitches)
        assert strength(heard, midi_to_hz(61)) < 0.2  # C sharp, which none of these has


@pytest.mark.parametrize("bpm", [60, 137, 210])
def test_tempo_is_heard(bpm):
    item = catalogue("tempos").where(bpm=bpm, click="woodblock_light")[0]
    level = np.abs(render(item)).reshape(-1, 160).max(axis=1)  # 10 ms frames
    onsets = np.flatnonzero((level[1:] > 0.1) & (level[:-1] < 0.05)) + 1
    assert np.median(np.diff(onsets)) * 0.01 == pytest.approx(60 / bpm, abs=0.011)


def test_downbeats_are_higher_and_louder():
    click = synthesise(MidiTrack((MidiNote(0, 240, 52, 100), MidiNote(480, 240, 48, 75)), 115), 1.0)
    down, off = click[:4000], click[8000:12000]
    assert np.abs(down).max() > 1.2 * np.abs(off).max()
    peaks = [np.argmax(np.abs(np.fft.rfft(part))) * 4 for part in (down, off)]
    assert peaks == pytest.approx([1100, 1100 * 2 ** (-4 / 12)], rel=0.03)


def test_five_clicks_differ_and_reverb_rings():
    crops = catalogue("time_signatures").where(time_signature="4/4", crop=0)
    dry = [synthesise(item.track, 1.0) for item in crops.where(reverb=0)]
    assert len({audio.tobytes() for audio in dry}) == 5
    wet = [synthesise(item.track, 1.0) for item in crops.where(reverb=2)]
    gap = slice(int(0.42 * RATE), int(0.49 * RATE))  # before the second click
    block = next(place for place, item in enumerate(crops.where(reverb=0)) if "light" in item.labels["click"])
    assert np.abs(wet[block][gap]).max() > 10 * np.abs(dry[block][gap]).max()


@pytest.mark.parametrize("name", CATEGORIES)
@pytest.mark.parametrize("rate", [16000, 44100])
def test_clips_are_four_seconds_finite_and_repeatable(name, rate):
    item = catalogue(name)[len(catalogue(name)) // 2]
    audio = render(item, rate)
    assert audio.shape == (4 * rate,)
    assert audio.dtype == np.float32
    assert np.isfinite(audio).all()
    assert 0.02 < np.abs(audio).max() <= 1
    assert render(item, rate).tobytes() == audio.tobytes()


def test_crop_is_a_cut_of_the_track():
    item = catalogue("tempos")[1234]
    whole = synthesise(item.track, 20.0)
    start = round(item.start_s * RATE)
    assert np.array_equal(render(item), whole[start : start + 4 * RATE])


def test_92_programs_are_92_timbres():
    timbres = {program_timbre(program) for program in PROGRAMS}
    assert len(timbres) == 92
    assert all(timbre.attack_s < 0.2 for timbre in timbres)


def test_programs_without_a_timbre_are_refused():
    with pytest.raises(DataError, match="synth effects"):
        synthesise(MidiTrack((MidiNote(0, 480, 60),), program=100), 1.0)
    with pytest.raises(DataError, match="above 0"):
        synthesise(MidiTrack((), program=115), 0.0)
