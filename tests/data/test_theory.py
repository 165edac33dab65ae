import pytest

from mmsteer.data.theory import (
    SCALES,
    TRIADS,
    midi_to_hz,
    pitch_class,
    scale_notes,
    triad,
)
from mmsteer.errors import DataError


def test_concert_pitches_match_the_published_table():
    # ISO 16 tuning; values to a hundredth of a hertz from any table of equal temperament.
    assert midi_to_hz(60) == pytest.approx(261.63, abs=0.005)
    assert midi_to_hz(21) == pytest.approx(27.50, abs=0.005)
    assert midi_to_hz(108) == pytest.approx(4186.01, abs=0.005)


def test_an_octave_doubles_the_frequency_and_keeps_the_pitch_class():
    assert midi_to_hz(73) == pytest.approx(2 * midi_to_hz(61))
    assert pitch_class(73) == pitch_class(61) == 1


def test_inversions_keep_the_pitch_classes():
    for quality in TRIADS:
        chords = [triad(50, quality, inversion) for inversion in range(3)]
        assert len({frozenset(map(pitch_class, chord)) for chord in chords}) == 1
        assert all(list(chord) == sorted(chord) for chord in chords)


def test_c_major_and_a_minor_share_their_notes():
    assert scale_notes(60, SCALES["major"], 40, 80) == scale_notes(57, SCALES["minor"], 40, 80)


def test_an_unknown_triad_is_refused():
    with pytest.raises(DataError, match="sus4"):
        triad(60, "sus4")
