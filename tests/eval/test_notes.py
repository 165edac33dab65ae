import json

import numpy as np
import pytest
import soundfile

from mmsteer.errors import EvalError
from mmsteer.eval.notes import notes_report, parse_pitch_class, read_notes
from mmsteer.types.pitch import PITCH_CLASSES
from tests.eval.tones import RATE, chord, drums, line, noise, tone


@pytest.mark.parametrize("midi", range(24, 108, 7))
@pytest.mark.parametrize("decay", [0.4, 0.9])
def test_a_single_note_is_heard_in_every_register_dull_or_bright(midi, decay):
    reading = read_notes(tone(midi, 1.0, decay=decay), RATE)
    name = PITCH_CLASSES[midi % 12]
    assert reading.main_note == name
    assert reading.share[name] > 0.95
    assert reading.voiced > 0.9


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000, 44100, 48000])
@pytest.mark.parametrize("seconds", [0.25, 4.0])
def test_rate_and_length_do_not_matter(rate, seconds):
    assert read_notes(tone(61, seconds, rate=rate), rate).main_note == "C#"


@pytest.mark.parametrize("cents", [-40, -30, 30, 40])
def test_a_detuned_clip_is_read_in_its_own_tuning(cents):
    clip = line([60 + cents / 100, 64 + cents / 100, 60 + cents / 100], 0.5)
    reading = read_notes(clip, RATE)
    assert reading.main_note == "C"
    assert reading.share["E"] == pytest.approx(1 / 3, abs=0.05)


def test_the_third_harmonic_of_c_is_not_g():
    """Negative control: the same partials without the fundamental's octave family do read as G."""
    bright_c = sum(a * tone(60, 1.0, harmonics=1) for a in [1]) + 1.5 * tone(79.02, 1.0, harmonics=1)
    assert read_notes(bright_c, RATE).main_note == "C"
    assert read_notes(tone(79, 1.0), RATE).main_note == "G"


def test_shares_are_times_and_sum_to_one():
    reading = read_notes(np.concatenate([tone(60, 3.0), tone(66, 1.0)]), RATE)
    assert reading.share["C"] == pytest.approx(0.75, abs=0.03)
    assert reading.share["F#"] == pytest.approx(0.25, abs=0.03)
    assert sum(reading.share.values()) == pytest.approx(1)


def test_rests_are_not_voiced_and_do_not_count():
    reading = read_notes(np.concatenate([tone(60, 1.0), np.zeros(3 * RATE)]), RATE)
    assert reading.voiced == pytest.approx(0.25, abs=0.07)
    assert reading.share["C"] > 0.95


def test_the_trace_tells_when():
    reading = read_notes(np.concatenate([tone(60, 2.0), tone(66, 2.0)]), RATE)
    early, late = reading.times_s < 1.8, (reading.times_s > 2.2) & (reading.times_s < 3.8)
    assert reading.trace[early, 0].mean() > 0.95
    assert reading.trace[late, 6].mean() > 0.95
    assert reading.trace[late, 0].mean() == 0
    np.testing.assert_allclose(reading.salience.sum(axis=1), reading.trace.sum(axis=1))


@pytest.mark.parametrize("shift", [0, 5, 9])
def test_the_main_note_of_a_dense_mix_is_heard(shift):
    """A line that stays on one note over a bass, a chord and drums."""
    key = 60 + shift
    melody = 0.9 * line([key + 12, key + 12, key + 12, key + 16], 1.0, decay=0.7)
    mix = melody + chord([key - 24], 4.0) + 0.6 * chord([key, key + 4, key + 7], 4.0) + 0.3 * drums(4.0)
    reading = read_notes(mix, RATE)
    assert reading.main_note == PITCH_CLASSES[key % 12]
    assert reading.share[reading.main_note] > 0.6


def test_a_note_in_noise_is_heard():
    assert read_notes(tone(60, 4.0, gain=0.1) + noise(4.0, gain=0.03), RATE).main_note == "C"


@pytest.mark.parametrize(
    "clip",
    [
        np.zeros(RATE),
        np.full(RATE, 0.3),
        np.zeros(1),
        noise(2.0),
        noise(2.0, gain=1e-3),
        drums(4.0),
        np.eye(1, RATE)[0],
    ],
    ids=["silence", "offset", "one sample", "noise", "soft noise", "drums", "click"],
)
def test_what_has_no_pitch_is_unvoiced(clip):
    reading = read_notes(clip, RATE)
    assert (reading.share, reading.main_note, reading.voiced) == (None, None, 0.0)
    assert not reading.trace.any()


def test_two_notes_that_share_the_clip_evenly_have_no_main_note():
    clip = np.concatenate([tone(60, 2.0), np.zeros(RATE), tone(66, 2.0)])
    assert read_notes(clip, RATE).main_note is None


def test_an_octave_lower_gain_changes_nothing():
    clip = line([60, 67, 60], 0.5)
    assert read_notes(clip * 1e-2, RATE).share == pytest.approx(read_notes(clip, RATE).share, abs=0.03)


@pytest.mark.parametrize(
    ("text", "name"), [("c", "C"), ("C#", "C#"), ("db", "C#"), ("Bb", "A#"), ("Cb", "B"), ("E♭", "D#")]
)
def test_pitch_classes_are_read_in_every_spelling(text, name):
    assert parse_pitch_class(text) == name


@pytest.mark.parametrize("text", ["", "H", "C##", "do"])
def test_other_pitch_classes_are_refused(text):
    with pytest.raises(EvalError, match="choose from C, C#"):
        parse_pitch_class(text)


def test_clips_are_judged_against_a_target(tmp_path):
    files = [tmp_path / f"{at}.wav" for at in range(4)]
    for file, wave in zip(files, (tone(60), tone(60), tone(64), np.zeros(RATE)), strict=True):
        soundfile.write(file, wave, RATE)
    summary = notes_report(files, "C")["summary"]
    assert (summary["hit"]["n"], summary["hit"]["unscored"]) == (3, 1)
    assert summary["hit"]["value"] == pytest.approx(2 / 3)
    assert summary["target_share"]["value"] == pytest.approx(2 / 3, abs=0.02)


@pytest.fixture
def files(tmp_path):
    soundfile.write(tmp_path / "c.wav", tone(60), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    return [tmp_path / "c.wav", str(tmp_path / "silent.wav")]


def test_the_report_is_json_without_nan(files):
    report = json.loads(json.dumps(notes_report(files, "C"), allow_nan=False))
    sounding, silent = report["files"]
    assert list(sounding["share"]) == list(PITCH_CLASSES)
    assert (sounding["main_note"], sounding["hit"]) == ("C", True)
    assert silent == {
        "file": str(files[1]),
        "share": None,
        "main_note": None,
        "voiced": 0.0,
        "mix": "mono",
        "hit": None,
        "target_share": None,
    }
    assert report["target"] == "C"
    assert (report["summary"]["hit"]["n"], report["summary"]["hit"]["unscored"]) == (1, 1)


def test_the_report_without_a_target_has_no_hits(files):
    report = notes_report(files)
    assert report.keys() == {"files"}
    assert report["files"][0].keys() == {"file", "share", "main_note", "voiced", "mix"}


def test_a_wrong_target_stops_before_any_file_is_read():
    with pytest.raises(EvalError, match="no pitch class 'H'"):
        notes_report(["missing.wav"], "H")


def test_no_files_is_an_error():
    with pytest.raises(EvalError, match="no audio file"):
        notes_report([])
