"""One MIDI track: its notes, its program, and its bytes as a Standard MIDI File."""

from dataclasses import dataclass
from numbers import Integral

from mmsteer.errors import DataError

TICKS_PER_QUARTER = 480
DRUM_CHANNEL = 9
REVERB_SEND = 91
MAX_VALUE = 127
MAX_QUARTER_US = 2**24 - 1


@dataclass(frozen=True, order=True)
class MidiNote:
    """One note in ticks, 480 to the quarter.

    Attributes:
        start: When it starts.
        duration: How long it is held, above 0.
        pitch: MIDI note number, 0 to 127; 60 is middle C.
        velocity: 1 to 127.
    """

    start: int
    duration: int
    pitch: int
    velocity: int = 64

    def __post_init__(self) -> None:
        if not _whole(self.start, self.duration, self.pitch, self.velocity):
            raise DataError(f"{self}: ticks, pitch and velocity are whole numbers; round them")
        if self.start < 0 or self.duration <= 0:
            raise DataError(f"{self}: the start must be 0 or later and the duration above 0, in ticks")
        if not (0 <= self.pitch <= MAX_VALUE and 1 <= self.velocity <= MAX_VALUE):
            raise DataError(f"{self}: the pitch must be in 0..127 and the velocity in 1..127")


@dataclass(frozen=True)
class MidiTrack:
    """Notes played by one General MIDI program at one tempo.

    Attributes:
        notes: In any order.
        program: General MIDI program, 0 to 127.
        channel: Counted from 0; 9 is the drum kit, whose pitches are drums.
        bpm: Quarters a minute.
        meter: Beats a bar and the beat's denominator, a power of two.
        reverb: Reverb send (controller 91), 0 to 127; None leaves the player's default.
    """

    notes: tuple[MidiNote, ...]
    program: int
    channel: int = 2
    bpm: int = 120
    meter: tuple[int, int] = (4, 4)
    reverb: int | None = None

    def __post_init__(self) -> None:
        if len(self.meter) != 2:
            raise DataError(f"meter {self.meter}: give beats a bar and the beat's denominator, such as (4, 4)")
        if not _whole(self.program, self.channel, self.bpm, *self.meter, self.reverb or 0):
            raise DataError(f"{self}: program, channel, bpm, meter and reverb are whole numbers; round them")
        if not (0 <= self.program <= MAX_VALUE and 0 <= self.channel < 16):
            raise DataError(
                f"program {self.program} on channel {self.channel}: allowed are programs 0..127 and channels 0..15"
            )
        if self.reverb is not None and not 0 <= self.reverb <= MAX_VALUE:
            raise DataError(f"reverb send {self.reverb}: choose 0..127, or None for the player's default")
        if self.bpm < 1 or self.quarter_us > MAX_QUARTER_US:
            raise DataError(f"tempo {self.bpm} bpm cannot be written in a MIDI file; choose 4 bpm or more")
        if not (1 <= self.meter[0] <= 255 and self.meter[1] in {1, 2, 4, 8, 16, 32, 64}):
            raise DataError(f"meter {self.meter}: the denominator must be a power of two up to 64")

    @property
    def quarter_us(self) -> int:
        """Length of a quarter in whole microseconds, as the file states it."""
        return round(60_000_000 / self.bpm)

    @property
    def end(self) -> int:
        """Tick at which the last note ends; 0 without notes."""
        return max((note.start + note.duration for note in self.notes), default=0)

    def seconds(self, ticks: int) -> float:
        """Time of a tick, in seconds.

        Args:
            ticks: Ticks from the start.

        >>> MidiTrack((), program=0, bpm=120).seconds(480)
        0.5
        """
        return ticks * self.quarter_us / (TICKS_PER_QUARTER * 1_000_000)

    def switches(self) -> list[tuple[int, int, int]]:
        """Note-ons and note-offs as (tick, pitch, velocity), velocity 0 for off.

        At the same tick the offs come first, so that a repeated note is struck again.
        """
        offs = [(note.start + note.duration, note.pitch, 0) for note in self.notes]
        ons = [(note.start, note.pitch, note.velocity) for note in self.notes]
        return sorted(offs + ons, key=lambda switch: (switch[0], switch[2] > 0))

    def to_bytes(self) -> bytes:
        """The track as a Standard MIDI File of type 1 with 480 ticks a quarter.

        Source: MIDI Association, Standard MIDI Files 1.0 (RP-001).

        >>> MidiTrack((), program=0).to_bytes()[:4]
        b'MThd'
        """
        body = b"".join(b"\x00" + event for event in self._setup()) + self._notes() + b"\x00\xff\x2f\x00"
        format_type, tracks = 1, 1
        header = b"".join(value.to_bytes(2, "big") for value in (format_type, tracks, TICKS_PER_QUARTER))
        return _chunk(b"MThd", header) + _chunk(b"MTrk", body)

    def _setup(self) -> list[bytes]:
        beats, denominator = self.meter
        events = [
            # 24 MIDI clocks a metronome click and 8 thirty-seconds a quarter: the file format's defaults.
            b"\xff\x58\x04" + bytes([beats, denominator.bit_length() - 1, 24, 8]),
            b"\xff\x51\x03" + self.quarter_us.to_bytes(3, "big"),
            bytes([0xC0 | self.channel, self.program]),
        ]
        if self.reverb is not None:
            events.append(bytes([0xB0 | self.channel, REVERB_SEND, self.reverb]))
        return events

    def _notes(self) -> bytes:
        events, now = [], 0
        for tick, pitch, velocity in self.switches():
            status = (0x90 if velocity else 0x80) | self.channel
            events.append(variable_length(tick - now) + bytes([status, pitch, velocity]))
            now = tick
        return b"".join(events)


def _whole(*values: object) -> bool:
    return all(isinstance(value, Integral) for value in values)


def variable_length(value: int) -> bytes:
    """A number in base 128, highest digit first, every byte but the last marked by its top bit.

    `value`: 0 or more.

    >>> variable_length(480).hex()
    '8360'
    """
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "big") + body
