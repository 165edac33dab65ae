"""The two metronome categories: tempos and time signatures.

A click track of about 20 s (tempos) or 30 s (time signatures) is cut at random places to clips of 4.0 s; the place
is drawn from a fixed seed and stands in the item. The original drew it without a seed: its cuts cannot be repeated.

Source: Wei, Freeman, Donahue and Sun, ISMIR 2024, and the code released with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mmsteer.data.midi import DRUM_CHANNEL, TICKS_PER_QUARTER, MidiNote, MidiTrack
from mmsteer.data.syntheory.catalogue import Category, Choice, Label

Meter = tuple[int, int]
TEMPOS_BPM = range(50, 211)
TEMPO_TRACK_S = 20
TEMPO_CROPS = 5
METERS = ("2/2", "2/4", "3/4", "3/8", "4/4", "6/8", "9/8", "12/8")
METER_BPM = 120
METER_TRACK_S = 30
METER_CROPS = 10
# Controller 91 at reverb levels 0, 1, 2.
REVERB_SENDS = (0, 63, 127)
DOWNBEAT_VELOCITY = 100
OFFBEAT_VELOCITY = 75


@dataclass(frozen=True)
class Click:
    """A metronome sound.

    Attributes:
        program: General MIDI program.
        channel: MIDI channel, counted from 0; 9 is the drum kit.
        downbeat: MIDI note of the first beat of a bar.
        offbeat: MIDI note of the other beats.
    """

    program: int
    channel: int
    downbeat: int
    offbeat: int


CLICKS: Mapping[str, Click] = MappingProxyType(
    {
        "drum_kit": Click(0, DRUM_CHANNEL, 37, 31),
        "woodblock_dark": Click(115, 2, 37, 31),
        "woodblock_light": Click(115, 2, 52, 48),
        "taiko": Click(116, 2, 52, 48),
        "synth_drum": Click(118, 2, 52, 48),
    }
)


def parse_meter(text: str) -> Meter:
    """Numerator and denominator of a time signature.

    `text`: one of `METERS`.

    >>> parse_meter("12/8")
    (12, 8)
    """
    beats, denominator = text.split("/")
    return int(beats), int(denominator)


def click_step(meter: Meter) -> int:
    """Ticks from click to click: an eighth in compound meters, to which 3/8 is counted, else the denominator's note.

    >>> click_step((6, 8)), click_step((2, 2))
    (240, 960)
    """
    beats, denominator = meter
    if beats % 3 == 0 and denominator != 4:
        return TICKS_PER_QUARTER // 2
    return TICKS_PER_QUARTER * 4 // denominator


def click_track(click: Click, meter: Meter, bpm: int, clicks: int, reverb: int) -> MidiTrack:
    """A metronome that strikes the downbeat first.

    `reverb`: reverb send, 0 to 127.
    """
    step = click_step(meter)
    down = MidiNote(0, step, click.downbeat, DOWNBEAT_VELOCITY)
    off = MidiNote(0, step, click.offbeat, OFFBEAT_VELOCITY)
    notes = tuple(
        MidiNote(place * step, step, note.pitch, note.velocity)
        for place in range(clicks)
        for note in [off if place % meter[0] else down]
    )
    return MidiTrack(notes, click.program, click.channel, bpm, meter, reverb)


def _source(choice: Choice) -> dict[str, Label]:
    click = CLICKS[str(choice["click"])]
    # The kit shares its number with the grand piano; it is another instrument.
    kit = click.channel == DRUM_CHANNEL
    return {"click": choice["click"], "program": "drum_kit" if kit else click.program, "crop": choice["crop"]}


def _tempo_labels(choice: Choice) -> dict[str, Label]:
    return {"bpm": choice["bpm"], **_source(choice)}


def _tempo_track(choice: Choice) -> MidiTrack:
    bpm = int(choice["bpm"])
    # One click more than 20 s need, so that the last cut is full.
    clicks = bpm // 3 + 1
    return click_track(CLICKS[str(choice["click"])], (4, 4), bpm, clicks, reverb=0)


def _meter_labels(choice: Choice) -> dict[str, Label]:
    return {"time_signature": choice["time_signature"], "reverb": choice["reverb"], **_source(choice)}


def _meter_track(choice: Choice) -> MidiTrack:
    meter = parse_meter(str(choice["time_signature"]))
    clicks = meter[1] * METER_BPM // 8 + 1
    reverb = REVERB_SENDS[int(choice["reverb"])]
    return click_track(CLICKS[str(choice["click"])], meter, METER_BPM, clicks, reverb)


TEMPOS = Category(
    "tempos",
    {"bpm": tuple(TEMPOS_BPM), "click": tuple(CLICKS), "crop": tuple(range(TEMPO_CROPS))},
    _tempo_labels,
    _tempo_track,
    TEMPO_TRACK_S,
)
TIME_SIGNATURES = Category(
    "time_signatures",
    {
        "time_signature": METERS,
        "reverb": tuple(range(len(REVERB_SENDS))),
        "click": tuple(CLICKS),
        "crop": tuple(range(METER_CROPS)),
    },
    _meter_labels,
    _meter_track,
    METER_TRACK_S,
)
