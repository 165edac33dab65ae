"""The band world is what its songs say."""

import numpy as np
import pytest

from mmsteer.errors import DataError
from mmsteer.eval.attributes import Clip
from mmsteer.eval.tempo import accuracy
from mmsteer.worlds.band.prompts import STATABLE
from mmsteer.worlds.band.world import (
    BEAT_FRAMES,
    CLIP_FRAMES,
    INSTRUMENTS,
    METRES,
    PROGRESSIONS,
    SAMPLE_RATE,
    SCALE_MODES,
    render_song,
    sample_song,
)


def song(seed=0, **fixed):
    return sample_song(np.random.default_rng(seed), **fixed)


def read(one, *evaluators):
    return Clip(render_song(one), SAMPLE_RATE).read(evaluators)


def test_what_is_fixed_is_kept_and_the_rest_is_drawn():
    songs = [song(seed, tempo="fast", texture="chord") for seed in range(60)]
    assert {one.tempo_bpm for one in songs} == {200.0}
    assert {one.instrument for one in songs} == set(INSTRUMENTS)
    assert {one.chord for one in songs} == {"major", "minor", "aug", "dim"}
    assert {one.metre for one in songs} == set(METRES)


def test_a_clip_is_eight_seconds_below_full_scale_and_the_same_each_time():
    for seed in range(12):
        samples = render_song(song(seed))
        assert samples.shape == (128000,)
        assert 0.05 < np.abs(samples).max() < 1
        np.testing.assert_array_equal(samples, render_song(song(seed)))


@pytest.mark.parametrize("tempo", BEAT_FRAMES)
def test_the_tempo_is_found(tempo):
    for instrument in ("organ", "piano"):
        one = song(1, tempo=tempo, instrument=instrument)
        assert accuracy(read(one, "tempo")["tempo"]["bpm"], one.tempo_bpm) == 1


@pytest.mark.parametrize("chord", ["major", "minor", "aug", "dim"])
def test_the_chord_is_named(chord):
    one = song(2, chord=chord)
    assert read(one, "chords")["chords"]["quality"] == chord
    assert one.changes[0].split(":")[0] == read(one, "chords")["chords"]["root"]


def test_the_key_is_named():
    for mode in PROGRESSIONS:
        one = song(3, mode=mode, texture="progression", instrument="organ", tonic=0)
        assert read(one, "key")["key"]["key"] == f"C {mode}"


def test_a_progression_moves_through_its_degrees():
    one = song(4, texture="progression", mode="major", tonic=0, degrees=(1, 5, 6, 4), tempo="fast", metre="three")
    assert one.changes[::3][:5] == ("C:maj", "G:maj", "A:min", "F:maj", "C:maj")
    assert one.changes[:3] == ("C:maj",) * 3
    assert [bass % 12 for bass in one.basses if bass is not None][:4] == [0, 7, 9, 5]


def test_a_scale_runs_from_the_tonic_to_the_tonic_in_its_mode():
    for mode in SCALE_MODES:
        one = song(5, texture="scale", mode=mode, tonic=2, tempo="fast")
        line = [notes[0] for notes in one.beats]
        assert line[7] - line[0] == 12
        assert line[8] == line[6]
    dorian = [note[0] - 74 for note in song(5, texture="scale", mode="dorian", tonic=2, tempo="fast").beats[:8]]
    assert dorian == [0, 2, 3, 5, 7, 9, 10, 12]


def test_the_bar_is_marked_by_the_bass():
    for metre, beats in METRES.items():
        one = song(6, texture="chord", metre=metre)
        assert [at for at, bass in enumerate(one.basses) if bass is not None][:3] == [0, beats, 2 * beats]


def test_onsets_lie_within_the_clip():
    for tempo, frames in BEAT_FRAMES.items():
        assert 1 + (len(song(7, tempo=tempo).beats) - 1) * frames < CLIP_FRAMES


def test_a_prompt_says_what_it_states_and_nothing_else():
    silent = song(8, stated=(), instrument="flute", tempo="slow", texture="progression", mode="minor")
    assert not {"flute", "slow", "75", "minor", "progression"} & set(silent.prompt.replace(",", "").split())
    for seed in range(20):
        said = song(seed, stated=STATABLE, instrument="flute", texture="scale", mode="dorian", metre="three")
        assert {"flute", "dorian", "scale", "three"} <= set(said.prompt.replace(",", "").split())


def test_what_the_prompt_states_changes_nothing_that_is_played():
    for seed in range(10):
        loud, silent = song(seed, stated=STATABLE), song(seed, stated=())
        assert (loud.beats, loud.instrument, loud.tempo) == (silent.beats, silent.instrument, silent.tempo)


@pytest.mark.parametrize(
    "wrong",
    [
        {"chord": "major", "mode": "minor"},
        {"chord": "sus"},
        {"texture": "progression", "mode": "dorian"},
        {"texture": "chord", "mode": "minor"},
        {"texture": "scale", "chord": "minor"},
        {"stated": ("pitch",)},
        {"tonic": 12},
    ],
)
def test_what_is_unknown_or_contradicts_itself_is_refused(wrong):
    with pytest.raises(DataError):
        song(0, **wrong)
