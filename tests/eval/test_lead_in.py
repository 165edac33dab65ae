"""What a recording begins with, and an offset, are no part of the music."""

import numpy as np
import pytest

from mmsteer.eval.adherence import SURE, load_judge
from mmsteer.eval.chords import read_chord
from mmsteer.eval.notes import read_notes
from mmsteer.eval.register import read_register
from mmsteer.worlds.music.listener import world_clips
from mmsteer.worlds.music.world import SAMPLE_RATE, render_clip
from tests.eval.tones import tone

MINUTE_AND_A_HALF = np.zeros(90 * SAMPLE_RATE)


def test_a_late_note_is_voiced_all_the_same():
    late = np.concatenate([MINUTE_AND_A_HALF, tone(69, 3.0)])
    found = read_notes(late, SAMPLE_RATE)
    assert found.main_note == "A"
    assert found.voiced > 0.9
    assert read_register(late, SAMPLE_RATE).midi == pytest.approx(69, abs=0.1)


def test_a_late_chord_is_one():
    chord = sum(tone(midi, 3.0) for midi in (60, 64, 67)) / 3
    assert read_chord(np.concatenate([MINUTE_AND_A_HALF, chord]), SAMPLE_RATE).label == "C:maj"


def test_what_stops_early_is_voiced_for_its_part():
    stopped = np.concatenate([tone(69, 1.0), np.zeros(3 * SAMPLE_RATE)])
    assert read_notes(stopped, SAMPLE_RATE).voiced == pytest.approx(0.25, abs=0.05)


def test_silence_has_no_first_sound():
    found = read_notes(np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    assert (found.main_note, found.voiced) == (None, 0.0)


@pytest.mark.parametrize(("silent_s", "offset"), [(0, 0.3), (4, 0.0), (4, 0.3)])
def test_an_instrument_is_the_same_after_silence_and_beside_an_offset(silent_s, offset):
    judge = load_judge()
    clips = [render_clip(clip, np.random.default_rng(index)) for index, clip in enumerate(world_clips(1, seed=3)[::6])]
    for clip in clips:
        other = np.concatenate([np.zeros(silent_s * SAMPLE_RATE), clip]) + offset
        named, still = (judge.read(one, SAMPLE_RATE, SURE)["instrument"] for one in (clip, other))
        assert still == named
