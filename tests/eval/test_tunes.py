import numpy as np
import pytest

from mmsteer.data.synthesis import TIMBRES, Note, render
from mmsteer.errors import EvalError
from mmsteer.eval.attributes import Clip
from mmsteer.eval.audio_reward import parse_audio_reward
from mmsteer.eval.rewards import parse_output_reward
from mmsteer.eval.text import Reference

RATE = 16000


def played(*parts):
    """A clip of (MIDI notes, seconds) after one another."""
    notes, at = [], 0.0
    for pitches, seconds in parts:
        notes += [Note(at, seconds, midi, 0.7) for midi in pitches]
        at += seconds
    return Clip(render(notes, TIMBRES["piano"], at, RATE), RATE)


def rated(text, clip):
    return parse_audio_reward(text)([clip], [Reference("")])[0]


MELODY = played(([60], 0.5), ([62], 0.5), ([64], 0.5), ([67], 0.5))


@pytest.mark.parametrize(
    ("tune", "low", "high"),
    [
        ("C4 0.5s, D4 0.5s, E4 0.5s, G4 0.5s", 0.85, 1.0),
        ("C7 0.5s, D 0.5s, E 0.5s, G 0.5s", 0.85, 1.0),  # an octave is no pitch class
        ("rest 1s, E 0.5s, rest 0.5s", 0.85, 1.0),  # what sounds in a rest is not counted
        ("C 0.5s, D 0.5s, F 0.5s, A 0.5s", 0.4, 0.55),
        ("C 0.5s, D 0.5s, E 0.5s, G 0.5s, C 2s", 0.4, 0.5),  # the clip ends before the tune does
        ("F 2s", 0.0, 0.05),
    ],
)
def test_a_melody_is_the_share_of_its_time_that_is_right(tune, low, high):
    assert low <= rated(f"melody:{tune}", MELODY) <= high
    assert rated(f"not melody:{tune}", MELODY) == pytest.approx(1 - rated(f"melody:{tune}", MELODY))


def test_a_progression_is_the_share_of_its_time_in_which_root_and_quality_are_right():
    clip = played(([60, 64, 67], 2.0), ([57, 60, 64], 2.0))
    assert rated("chords:C:maj 2s, A:min 2s", clip) > 0.85
    assert 0.4 < rated("chords:C:maj 2s, A:maj 2s", clip) < 0.55
    assert rated("chords:C:min 2s, A:maj 2s", clip) == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("melody:", "cannot read '' in a tune"),
        ("melody:H4 1s", "no note 'H4'"),
        ("melody:C4 1", "cannot read 'C4 1' in a tune"),
        ("melody:C4 0s", "cannot read"),
        ("melody:rest 2s", "nothing sounds"),
        ("melody:C4 4000s", "at most 3600 s"),
        ("melody:" + "C 1s, " * 3000, "more than 2000 parts"),
        ("chords:C:sus 1s", "no chord 'C:sus'"),
        ("chords:C4 1s", "'C4' is no chord"),
    ],
)
def test_tunes_that_cannot_be_read(name, message):
    with pytest.raises(EvalError, match=message):
        parse_audio_reward(name)


def test_tunes_are_rewards_of_audio():
    assert parse_output_reward("melody:C 1s").evaluator == "notes"
    with pytest.raises(EvalError, match="reads audio"):
        parse_output_reward("chords:C:maj 1s", "text")
    assert np.isclose(rated("melody:C+E+G 2s", played(([64], 2.0))), 1, atol=0.1)
