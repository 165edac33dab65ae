"""Register, chords, intervals, keys: exact truths, and what cannot be told."""

import numpy as np
import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.chords import read_chord
from mmsteer.eval.intervals import read_interval
from mmsteer.eval.keys import MODES, PROFILES, SCALES, key_score, read_key
from mmsteer.eval.register import read_register
from mmsteer.types.pitch import PITCH_CLASSES, TRIADS
from tests.eval.tones import RATE, chord, drums, line, noise, tone

NOTHING = {"silence": np.zeros(RATE), "noise": noise(2.0), "drums": drums(3.0)}


@pytest.mark.parametrize("midi", [31, 43, 60, 79, 96])
def test_the_register_is_the_median_pitch(midi):
    reading = read_register(line([midi, midi, midi + 2], 0.4), RATE)
    assert reading.midi == pytest.approx(midi, abs=0.1)
    assert reading.octave == midi // 12 - 1


def test_the_register_trace_follows_the_line():
    reading = read_register(np.concatenate([tone(48, 1.0), np.zeros(RATE), tone(72, 1.0)]), RATE)
    at = {second: reading.trace[np.abs(reading.times_s - second).argmin()] for second in (0.5, 1.5, 2.5)}
    assert at[0.5] == pytest.approx(48, abs=0.1)
    assert np.isnan(at[1.5])
    assert at[2.5] == pytest.approx(72, abs=0.1)


@pytest.mark.parametrize("name", NOTHING)
def test_what_has_no_pitch_tells_nothing(name):
    clip = NOTHING[name]
    assert read_register(clip, RATE).midi is None
    assert read_chord(clip, RATE).label is None
    assert read_interval(clip, RATE).semitones is None
    assert (read_key(clip, RATE).key, read_key(clip, RATE).scale) == (None, None)


@pytest.mark.parametrize("quality", TRIADS)
@pytest.mark.parametrize("root", [55, 60, 65])
@pytest.mark.parametrize("inversion", [0, 1, 2])
def test_triads_are_named_in_every_inversion(quality, root, inversion):
    tones = [root + step + 12 * (index < inversion) for index, step in enumerate(TRIADS[quality])]
    reading = read_chord(chord(tones, 1.0), RATE)
    assert reading.quality == quality
    heard_root = min(tones) if quality == "aug" else root
    assert reading.label == f"{PITCH_CLASSES[heard_root % 12]}:{quality}"
    assert reading.fit > 0.85


@pytest.mark.parametrize("tones", [[60], [60, 67], [60, 72], [60, 61, 62]], ids=["note", "fifth", "octave", "cluster"])
def test_what_is_no_triad_gets_no_name(tones):
    assert read_chord(chord(tones, 1.0), RATE).label is None


@pytest.mark.parametrize("size", range(1, 13))
def test_intervals_in_turn_have_size_direction_and_root(size):
    up, down = line([62, 62 + size] * 3, 0.4), line([62 + size, 62] * 3, 0.4)
    assert [(r.semitones, r.kind, r.root) for r in (read_interval(up, RATE), read_interval(down, RATE))] == [
        (size, "up", 62),
        (size, "down", 62),
    ]


@pytest.mark.parametrize("size", [3, 4, 5, 6, 7, 8, 9])
def test_intervals_at_once_are_heard(size):
    reading = read_interval(chord([60, 60 + size], 2.0), RATE)
    assert (reading.semitones, reading.kind) == (size, "together")


@pytest.mark.parametrize(
    "clip",
    [tone(60, 2.0), line([60, 62, 67, 64, 69, 70], 0.4), chord([60, 64, 67], 2.0)],
    ids=["note", "line", "chord"],
)
def test_what_is_no_single_interval_gets_no_size(clip):
    assert read_interval(clip, RATE).semitones is None


def test_the_steps_of_a_line_are_traced():
    reading = read_interval(line([60, 64, 62], 0.5), RATE)
    assert reading.trace.tolist() == [4, -2]
    np.testing.assert_allclose(reading.times_s, [0.5, 1.0], atol=0.07)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("falling", [False, True])
def test_scales_are_named_by_mode_and_tonic(mode, falling):
    steps = [*sorted(SCALES[mode]), 12]
    reading = read_key(line([58 + step for step in (steps[::-1] if falling else steps)], 0.4), RATE)
    assert (reading.scale, reading.tonic) == (mode, "A#")


def test_the_modes_by_hand():
    assert sorted(SCALES["dorian"]) == [0, 2, 3, 5, 7, 9, 10]
    assert sorted(SCALES["locrian"]) == [0, 1, 3, 5, 6, 8, 10]


@pytest.mark.parametrize("tonic", [60, 63, 57])
@pytest.mark.parametrize(("mode", "thirds"), [("major", (4, 4, 4)), ("minor", (3, 3, 4))])
def test_a_cadence_names_its_key(tonic, mode, thirds):
    roots = [tonic, tonic + 5, tonic + 7]
    triads = [chord([root, root + third, root + 7], 1.0) for root, third in zip(roots, thirds, strict=True)]
    clip = np.concatenate([*triads, triads[0]])
    assert read_key(clip, RATE).key == f"{PITCH_CLASSES[tonic % 12]} {mode}"


def test_a_single_note_has_no_key():
    assert read_key(tone(60, 2.0), RATE).key is None


def test_profiles_are_shares():
    for profile in PROFILES.values():
        assert sum(profile) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("heard", "score"),
    [("C major", 1), ("G major", 0.5), ("A minor", 0.3), ("C minor", 0.2), ("F# major", 0), (None, None)],
)
def test_keys_are_scored_as_mirex_does(heard, score):
    assert key_score(heard, "C major") == score


@pytest.mark.parametrize(
    ("truth", "heard", "score"),
    [
        ("C", "C major", 1), ("c", "C major", 1), ("a:min", "A minor", 1), ("Am", "A minor", 1), ("AM", "A major", 1),
        ("A:maj", "A major", 1), ("Bb minor", "A# minor", 1), ("C dorian", "C minor", 0.2), ("C aeolian", "C minor", 1),
        ("C ionian", "C major", 1), ("D:dorian", "C major", 0), ("X", "C major", 0), ("E♭ MAJOR", "D# major", 1),
    ],
)  # fmt: skip
def test_truths_come_in_any_spelling(truth, heard, score):
    assert key_score(heard, truth) == score


@pytest.mark.parametrize("truth", ["H", "", "C blues", "C major minor", "x" * 20_000, "minor"])
def test_a_bad_truth_is_refused_whatever_was_heard(truth):
    for heard in ("C major", None):
        with pytest.raises(EvalError, match="no key") as caught:
            key_score(heard, truth)
        assert len(str(caught.value)) < 250


def test_a_nonsense_key_is_refused():
    with pytest.raises(EvalError, match="no key"):
        key_score("H major", "C major")
