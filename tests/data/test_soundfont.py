import sys
from pathlib import Path

import numpy as np
import pytest

from mmsteer.data import soundfont
from mmsteer.data.midi import MidiNote, MidiTrack
from mmsteer.data.soundfont import find_soundfont, load_soundfont
from mmsteer.data.syntheory import PROGRAMS, SILENT, catalogue, render
from mmsteer.errors import DataError

ORIGINAL = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
A4 = MidiTrack((MidiNote(0, 960, 69),), program=0)


@pytest.fixture(scope="module")
def font():
    try:
        return load_soundfont()
    except DataError as error:
        pytest.skip(f"no SoundFont rendering here: {error}")


def test_length_and_pitch(font):
    audio = font.render(A4, 1.0, 16000)
    assert audio.shape == (16000,)
    assert audio.dtype == np.float32
    assert np.argmax(np.abs(np.fft.rfft(audio))) == pytest.approx(440, abs=2)  # 1 Hz a bin


@pytest.mark.parametrize("rate", [16000, 32000, 44100])
def test_every_category_is_four_seconds_long(font, rate):
    for name in ("chords", "tempos"):
        audio = render(catalogue(name)[700], rate, font.render)
        assert len(audio) == 4 * rate
        assert np.abs(audio).max() > 1e-3


def test_same_track_same_bytes(font):
    strings = MidiTrack((MidiNote(0, 960, 60),), program=48, reverb=127)
    first = font.render(strings, 1.0)
    font.render(A4, 0.3)
    assert font.render(strings, 1.0).tobytes() == first.tobytes()


def test_notes_start_where_they_should(font):
    late = MidiTrack((MidiNote(480, 480, 69),), program=0)
    audio = font.render(late, 1.0, 44100)
    onset = np.flatnonzero(np.abs(audio) > 1e-4)[0] / 44100
    assert onset == pytest.approx(0.5, abs=0.01)


def test_reverb_send_is_heard(font):
    def tail(reverb):
        dry = MidiTrack((MidiNote(0, 60, 52, 100),), program=115, reverb=reverb)
        return np.abs(font.render(dry, 1.5)[16000:]).max()

    assert tail(127) > 2 * tail(0)


def test_loaded_once(font):
    assert load_soundfont(font.path) is font


def test_silent_notes_of_the_original_font():
    if not ORIGINAL.exists():
        pytest.skip(f"{ORIGINAL} is missing: apt-get install timgm6mb-soundfont")
    try:
        original = load_soundfont(ORIGINAL)
    except DataError as error:
        pytest.skip(f"no SoundFont rendering here: {error}")
    found = {program: original.missing(program, range(108)) for program in PROGRAMS}
    assert {program: pitches for program, pitches in found.items() if pitches} == {
        program: tuple(pitches) for program, pitches in SILENT.items()
    }


def test_silent_note_is_silent(font):
    if font.path != ORIGINAL.resolve():
        pytest.skip(f"{ORIGINAL} is missing: apt-get install timgm6mb-soundfont")
    item = catalogue("notes").where(silent=1)[0]
    # FluidSynth adds a constant of about 1e-8 against denormals.
    assert np.abs(render(item, renderer=font.render)).max() < 1e-7


def test_named_font_must_exist(monkeypatch, tmp_path):
    with pytest.raises(DataError, match="no such SoundFont"):
        find_soundfont(tmp_path / "none.sf2")
    monkeypatch.setenv(soundfont.SOUNDFONT_VARIABLE, str(tmp_path / "none.sf2"))
    with pytest.raises(DataError, match="no such SoundFont"):
        find_soundfont()


def test_search_prefers_the_original_and_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv(soundfont.SOUNDFONT_VARIABLE, raising=False)
    monkeypatch.setattr(soundfont, "FOLDERS", (tmp_path,))
    with pytest.raises(DataError, match="apt-get install"):
        find_soundfont()
    for name in ("A.sf2", "TimGM6mb.sf2"):
        (tmp_path / name).touch()
    assert find_soundfont().name == "TimGM6mb.sf2"


def test_missing_library_names_the_remedy(monkeypatch, tmp_path):
    (tmp_path / "a.sf2").touch()
    monkeypatch.setitem(sys.modules, "fluidsynth", None)
    with pytest.raises(DataError, match="pip install"):
        load_soundfont(tmp_path / "a.sf2")


def test_broken_font_is_refused(font, tmp_path):
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(b"RIFF, but not really")
    with pytest.raises(DataError, match="cannot read"):
        load_soundfont(broken)


def test_empty_clip_is_refused(font):
    with pytest.raises(DataError, match="above 0"):
        font.render(A4, 0.0)
