import os

import mido
import pytest

from mmsteer.data.midi_file import read_tune
from mmsteer.errors import DataError
from tests.fuzz.mutations import cases, damaged


def written(path, *messages, tempo=500_000, kind=1):
    """A MIDI file of (type, note, ticks since the one before, channel), 480 ticks a quarter."""
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=tempo)])
    track += [mido.Message(name, note=note, velocity=64, time=ticks, channel=at) for name, note, ticks, at in messages]
    mido.MidiFile(type=kind, tracks=[track]).save(path)
    return path


def test_notes_in_turn_and_together_at_the_files_own_tempo(tmp_path):
    notes = (("note_on", 60, 0, 0), ("note_off", 60, 480, 0), ("note_on", 64, 480, 0), ("note_on", 67, 480, 1))
    ends = (("note_off", 64, 480, 0), ("note_off", 67, 0, 1))
    assert str(read_tune(written(tmp_path / "a.mid", *notes, *ends))) == "C 0.5s, rest 0.5s, E 0.5s, E+G 0.5s"
    slow = read_tune(written(tmp_path / "b.mid", *notes, *ends, tempo=1_000_000))
    assert slow.seconds == 4


def test_percussion_is_no_tune_and_a_note_without_end_ends_with_the_file(tmp_path):
    drum = (("note_on", 38, 0, 9), ("note_off", 38, 480, 9))
    with pytest.raises(DataError, match="has no notes"):
        read_tune(written(tmp_path / "a.mid", *drum))
    assert str(read_tune(written(tmp_path / "b.mid", ("note_on", 69, 0, 0), *drum))) == "A 0.5s"


def test_a_note_of_velocity_0_ends_the_one_before(tmp_path):
    track = mido.MidiTrack([mido.Message("note_on", note=60), mido.Message("note_on", note=60, velocity=0, time=960)])
    mido.MidiFile(tracks=[track]).save(tmp_path / "a.mid")
    assert str(read_tune(tmp_path / "a.mid")) == "C 1s"


def test_files_that_are_no_tune(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_tune(tmp_path / "none.mid")
    (tmp_path / "text.mid").write_text("C4 1s")
    with pytest.raises(DataError, match="is no MIDI file"):
        read_tune(tmp_path / "text.mid")
    os.mkfifo(tmp_path / "pipe.mid")
    with pytest.raises(DataError, match="no regular file"):
        read_tune(tmp_path / "pipe.mid")
    many = [(name, 60, 9, 0) for _ in range(2500) for name in ("note_on", "note_off")]
    with pytest.raises(DataError, match="2500 notes; a tune has at most 2000"):
        read_tune(written(tmp_path / "long.mid", *many))
    (tmp_path / "big.mid").write_bytes(b"MThd" + bytes(5 << 20))
    with pytest.raises(DataError, match="more than 4 MiB"):
        read_tune(tmp_path / "big.mid")


def test_damaged_files_cost_one_error(tmp_path):
    notes = [(name, pitch, 200, 0) for pitch in (60, 62, 64) for name in ("note_on", "note_off")]
    whole = written(tmp_path / "a.mid", *notes).read_bytes()
    for rng in cases(2):
        (tmp_path / "b.mid").write_bytes(damaged(whole, rng))
        try:
            read_tune(tmp_path / "b.mid")
        except DataError as error:
            assert len(str(error)) < 4000  # noqa: PT017
