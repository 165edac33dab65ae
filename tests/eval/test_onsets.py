import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmsteer.errors import EvalError
from mmsteer.eval.onsets import OnsetReading, read_onsets
from mmsteer.eval.tempo import (
    BLUR_S,
    FASTEST,
    SLOWEST,
    _refine,
    _repetition,
    accuracy,
    octave_accuracy,
    read_tempo,
    tempo_from_onsets,
)
from tests.eval.tones import RATE, drums, line, noise, tone


def plucked(midis, each_s, ring_s=0.1):
    """Struck notes with silence between them."""
    note_gap = [np.concatenate([tone(m, ring_s), np.zeros(round((each_s - ring_s) * RATE))]) for m in midis]
    return np.concatenate(note_gap)


def test_struck_notes_are_found_where_they_begin():
    reading = read_onsets(plucked([60] * 8, 0.4), RATE)
    np.testing.assert_allclose(reading.onsets_s, np.arange(8) * 0.4, atol=0.03)
    assert reading.per_second == pytest.approx(2.5, rel=0.02)


def test_a_legato_line_has_an_onset_at_every_change_of_pitch():
    """One oscillator whose pitch jumps: no gap, no accent, constant level."""
    pitches = np.repeat(440 * 2 ** ((np.array([60, 64, 62, 67, 65, 60]) - 69) / 12), RATE // 2)
    phase = 2 * np.pi * np.cumsum(pitches) / RATE
    clip = 0.3 * sum(0.6**k * np.sin((k + 1) * phase) for k in range(6))
    np.testing.assert_allclose(read_onsets(clip, RATE).onsets_s, np.arange(6) * 0.5, atol=0.06)


def test_vibrato_is_no_onset():
    t = np.arange(3 * RATE) / RATE
    phase = 2 * np.pi * 440 * t + 440 * 0.01 / 5.5 * np.sin(2 * np.pi * 5.5 * t)
    assert len(read_onsets(0.3 * np.sin(phase), RATE).onsets_s) == 1


def test_the_density_follows_an_accelerando():
    slow, fast = plucked([60] * 4, 0.5), plucked([60] * 16, 0.125, 0.06)
    reading = read_onsets(np.concatenate([slow, fast]), RATE)
    assert reading.trace[reading.times_s == 1.0] == pytest.approx(2, abs=1)
    assert reading.trace[reading.times_s == 3.0] == pytest.approx(8, abs=1)


@pytest.mark.parametrize("clip", [np.zeros(RATE), np.zeros(1), np.full(RATE, 0.5)], ids=["silence", "one", "offset"])
def test_silence_has_no_onsets(clip):
    reading = read_onsets(clip, RATE)
    assert (len(reading.onsets_s), reading.per_second) == (0, None)


def test_steady_noise_begins_once():
    assert len(read_onsets(noise(4.0), RATE).onsets_s) == 1


@pytest.mark.parametrize("bpm", [60, 75, 90, 120, 150, 200])
@pytest.mark.parametrize("make", [drums, lambda s, per_second: plucked([60] * int(s * per_second), 1 / per_second)])
def test_a_regular_pulse_is_its_own_tempo(bpm, make):
    reading = read_tempo(make(6.0, per_second=bpm / 60), RATE)
    assert reading.bpm == pytest.approx(bpm, rel=0.02)
    np.testing.assert_allclose(reading.trace, bpm, rtol=0.03)


def test_a_rest_does_not_halve_the_tempo():
    clip = plucked([60, 60, 62, 60, 60, 62, 60, 60], 0.5)
    clip[4 * RATE // 2 : 5 * RATE // 2] = 0
    assert read_tempo(clip, RATE).bpm == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize("clip", [np.zeros(RATE), noise(4.0), tone(60, 4.0)], ids=["silence", "noise", "one note"])
def test_what_does_not_repeat_has_no_tempo(clip):
    reading = read_tempo(clip, RATE)
    assert reading.bpm is None
    assert np.isnan(reading.trace).all()


def test_an_irregular_rhythm_has_no_tempo():
    gaps = [0.31, 0.52, 0.93, 1.64]
    clip = np.concatenate([plucked([60], gap) for gap in gaps])
    assert read_tempo(clip, RATE).bpm is None


@pytest.mark.parametrize(
    ("estimate", "one", "two"),
    [
        (124.0, 1, 1),
        (125.5, 0, 0),
        (60.0, 0, 1),
        (240.0, 0, 1),
        (360.0, 0, 1),
        (40.0, 0, 1),
        (90.0, 0, 0),
        (None, None, None),
    ],
)
def test_tempo_accuracies_by_hand(estimate, one, two):
    assert (accuracy(estimate, 120.0), octave_accuracy(estimate, 120.0)) == (one, two)


@pytest.mark.parametrize("bad", [0.0, -120.0, float("inf"), float("nan")])
def test_a_tempo_that_is_none_is_refused(bad):
    for compare in (accuracy, octave_accuracy):
        with pytest.raises(EvalError, match=r"true tempo is .* above 0"):
            compare(120.0, bad)
        with pytest.raises(EvalError, match=r"estimated tempo is .* above 0"):
            compare(bad, 120.0)


@pytest.mark.parametrize(("notes_a_beat", "bpm"), [(2, 120), (3, 180)])
def test_notes_too_fast_for_beats_are_read_as_the_docstring_says(notes_a_beat, bpm):
    each_s = 60 / 120 / notes_a_beat
    clip = plucked([60] * (8 * notes_a_beat), each_s, min(0.1, each_s / 2))
    assert read_tempo(clip, RATE).bpm == pytest.approx(bpm, rel=0.02)


def _by_all_pairs(onsets_s, periods):
    gaps = np.abs(onsets_s[:, None] - onsets_s[None, :])
    return np.exp(-0.5 * ((gaps[None] - periods[:, None, None]) / BLUR_S) ** 2).max(axis=2).mean(axis=1)


@pytest.mark.parametrize("count", [3, 4, 17, 60])
def test_the_repetition_is_that_of_all_pairs(count):
    """The definition, computed on every pair of onsets at once, is the reference."""
    onsets_s = np.cumsum(np.random.default_rng(count).uniform(0.05, 0.6, count))
    periods = np.arange(60 / FASTEST, min(60 / SLOWEST, float(np.ptp(onsets_s))), 0.0025)
    assert_allclose(_repetition(onsets_s, periods), _by_all_pairs(onsets_s, periods), rtol=1e-9, atol=1e-12)
    gaps = (onsets_s[None, :] - onsets_s[:, None]).ravel()
    for period in periods[::20].tolist():
        close = gaps[np.abs(gaps - period) < 2 * BLUR_S]
        assert _refine(onsets_s, period) == pytest.approx(close.mean() if len(close) else period, rel=1e-12)


def test_twenty_minutes_of_onsets_takes_little_memory():
    onsets_s = np.arange(0, 1200, 0.125)
    strength = np.zeros(100)
    reading = OnsetReading(onsets_s, 8.0, strength, strength, strength)
    tracemalloc.start()
    bpm = tempo_from_onsets(reading).bpm
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bpm == pytest.approx(160)  # every third of 480 a minute
    assert peak < 50e6


def test_a_line_of_even_notes_is_one_beat_a_note():
    assert read_tempo(line([60, 62, 64, 65, 67, 65, 64, 62], 0.5), RATE).bpm == pytest.approx(120, rel=0.03)


def test_few_onsets_that_lie_evenly_by_chance_are_no_tempo():
    onsets_s, strength = np.array([0.01, 0.5, 9.62, 10.13, 10.99]), np.zeros(100)
    assert tempo_from_onsets(OnsetReading(onsets_s, 0.4, strength, strength, strength)).bpm is None
