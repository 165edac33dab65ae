"""The bytes are checked against a file written out by hand from the specification."""

import pytest

from mmsteer.data.midi import MidiNote, MidiTrack, variable_length
from mmsteer.errors import DataError

BY_HAND = bytes.fromhex(
    "4d546864 00000006 0001 0001 01e0"  # MThd, 6 bytes, type 1, one track, 480 ticks
    "4d54726b 0000002b"  # MTrk, 43 bytes
    "00 ff5804 03031808"  # 3/8: the denominator is a power of two
    "00 ff5103 07a120"  # 500,000 us
    "00 c218"  # program 24 on channel 2
    "00 b25b3f"  # reverb send 63
    "00 923c40"  # C4 on
    "8360 823c00"  # 480 ticks later: off
    "00 923c40"  # and struck again
    "60 823c00"  # 96 ticks later: off
    "00 ff2f00"
)


def test_bytes_by_hand():
    track = MidiTrack((MidiNote(0, 480, 60), MidiNote(480, 96, 60)), program=24, meter=(3, 8), reverb=63)
    assert track.to_bytes() == BY_HAND


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "00"), (0x7F, "7f"), (0x80, "8100"), (0x3FFF, "ff7f"), (0x4000, "818000"), (0x0FFFFFFF, "ffffff7f")],
)
def test_variable_length_as_in_the_specification(value, written):
    assert variable_length(value).hex() == written


def test_seconds_follow_the_tempo():
    assert MidiTrack((), program=0, bpm=60).seconds(480) == 1.0
    assert MidiTrack((MidiNote(960, 480, 60),), program=0).end == 1440


@pytest.mark.parametrize("field", [{"pitch": 128}, {"velocity": 0}, {"duration": 0}, {"start": -1}])
def test_impossible_note_is_refused(field):
    with pytest.raises(DataError, match="must be"):
        MidiNote(**{"start": 0, "duration": 480, "pitch": 60, **field})


@pytest.mark.parametrize(
    "field", [{"program": 128}, {"channel": 16}, {"bpm": 3}, {"bpm": 0}, {"meter": (4, 3)}, {"reverb": 128}]
)
def test_impossible_track_is_refused(field):
    with pytest.raises(DataError):
        MidiTrack(**{"notes": (), "program": 0, **field})


@pytest.mark.parametrize("values", [(0.5, 10, 60), (0, 10.0, 60), (0, 10, 60.5), (0, 10, 60, 64.0)])
def test_fractions_of_a_tick_are_refused(values):
    with pytest.raises(DataError, match="whole numbers"):
        MidiNote(*values)


@pytest.mark.parametrize(
    "field",
    [
        *({"program": 1.5}, {"channel": 2.0}, {"bpm": 90.5}, {"bpm": float("nan")}, {"bpm": float("inf")}),
        *({"meter": (4.0, 4)}, {"reverb": 63.5}),
    ],
)
def test_a_track_is_of_whole_numbers(field):
    with pytest.raises(DataError, match="whole numbers"):
        MidiTrack(**{"notes": (), "program": 0, **field})


def test_a_meter_has_two_numbers():
    with pytest.raises(DataError, match=r"meter \(4,\)"):
        MidiTrack((), program=0, meter=(4,))
