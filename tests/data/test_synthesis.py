import numpy as np
import pytest

from mmsteer.data.synthesis import BAND_LIMIT, TIMBRES, Note, render
from mmsteer.data.theory import midi_to_hz
from mmsteer.errors import DataError

RATE = 16000
every_timbre = pytest.mark.parametrize("name", TIMBRES)


def spectrum(wave):
    return np.abs(np.fft.rfft(wave * np.hanning(len(wave))))


@every_timbre
@pytest.mark.parametrize("midi", [43, 60, 77, 92])
def test_the_fundamental_is_where_the_note_says(name, midi):
    wave = render([Note(0, 1.9, midi)], TIMBRES[name], 2.0)
    size = spectrum(wave)
    hz = np.fft.rfftfreq(len(wave), 1 / RATE)
    near = np.abs(hz - midi_to_hz(midi)) < 0.4 * midi_to_hz(midi)
    found = hz[near][size[near].argmax()]
    assert abs(1200 * np.log2(found / midi_to_hz(midi))) < 25


@every_timbre
def test_nothing_aliases(name):
    # Twice the rate renders the same partials; what it adds above the limit is all that may differ.
    notes = [Note(0, 0.9, 100)]
    slow = render(notes, TIMBRES[name], 1.0, RATE)
    fast = render(notes, TIMBRES[name], 1.0, 4 * RATE)[::4]
    high = [ratio * midi_to_hz(100) for ratio in TIMBRES[name].ratios]
    if max(high) < BAND_LIMIT * RATE and not TIMBRES[name].noise:
        np.testing.assert_allclose(slow, fast, atol=2e-3)
    size = spectrum(slow)
    hz = np.fft.rfftfreq(len(slow), 1 / RATE)
    partials = np.array([partial for partial in high if partial < BAND_LIMIT * RATE])
    off = np.abs(hz[:, None] - partials[None]).min(axis=1) > 200
    assert size[off].max() < 0.03 * size.max()


@every_timbre
def test_a_render_is_bounded_repeatable_and_of_the_asked_length(name):
    chord = [Note(0.1 * i, 3.0, 48 + i, 1.0) for i in range(24)]
    wave = render(chord, TIMBRES[name], 4.0)
    assert wave.dtype == np.float32
    assert wave.shape == (64000,)
    assert 0 < np.abs(wave).max() < 1
    np.testing.assert_array_equal(wave, render(chord, TIMBRES[name], 4.0))


def test_a_note_is_silent_before_its_onset_and_after_its_release():
    wave = render([Note(0.5, 0.5, 60)], TIMBRES["organ"], 2.0)
    assert not wave[: RATE // 2].any()
    assert not wave[round(1.06 * RATE) :].any()
    assert np.abs(wave[round(0.6 * RATE) : RATE]).max() > 0.05


def test_a_note_outside_the_window_is_cut():
    assert not render([Note(5.0, 1.0, 60), Note(-3.0, 1.0, 60)], TIMBRES["flute"], 2.0).any()
    whole = render([Note(0.0, 1.0, 60)], TIMBRES["organ"], 2.0)
    late = render([Note(-0.5, 1.0, 60)], TIMBRES["organ"], 2.0)
    np.testing.assert_array_equal(late[:4000], whole[8000:12000])


def test_soft_notes_are_quieter_and_darker():
    loud = render([Note(0, 1, 60, 1.0)], TIMBRES["strings"], 1.0)
    soft = render([Note(0, 1, 60, 0.4)], TIMBRES["strings"], 1.0)
    assert soft.std() < 0.5 * loud.std()
    ratios = [spectrum(wave)[1000:].sum() / spectrum(wave)[:1000].sum() for wave in (loud, soft)]
    assert ratios[1] < 0.8 * ratios[0]


def test_struck_notes_fade_and_held_notes_do_not():
    def kept(name):
        wave = render([Note(0, 2.0, 60)], TIMBRES[name], 2.0)
        return wave[24000:28000].std() / wave[4000:8000].std()

    assert max(kept(name) for name in ("piano", "guitar", "marimba", "bell")) < 0.6
    assert min(kept(name) for name in ("organ", "flute", "strings", "clarinet")) > 0.9


def test_timbres_are_far_apart():
    shapes = []
    for timbre in TIMBRES.values():
        size = spectrum(render([Note(0, 1, 60)], timbre, 1.0))
        bands = np.log10(1e-3 * size.max() + size.reshape(-1)[:4000].reshape(80, 50).max(axis=1))
        shapes.append(bands - bands.mean())
    shapes = np.array(shapes)
    gaps = np.linalg.norm(shapes[:, None] - shapes[None], axis=-1)
    assert gaps[~np.eye(len(gaps), dtype=bool)].min() > 1.0


@pytest.mark.parametrize(("duration", "velocity"), [(0, 0.8), (-1, 0.8), (1, 0), (1, 1.2), (float("nan"), 0.8)])
def test_an_impossible_note_is_refused(duration, velocity):
    with pytest.raises(DataError, match="above 0"):
        Note(0, duration, 60, velocity)


def test_an_empty_window_is_refused():
    with pytest.raises(DataError, match="both must be above 0"):
        render([], TIMBRES["piano"], 0)
