"""A MIDI file of any origin as a tune."""

from itertools import pairwise
from pathlib import Path

from mmsteer.data.midi import DRUM_CHANNEL
from mmsteer.errors import DataError
from mmsteer.regular_file import open_regular
from mmsteer.types.pitch import PITCH_CLASSES
from mmsteer.types.tune import MOST, REST, Tune

MOST_BYTES = 4 << 20
_RAW = (OSError, EOFError, ValueError, TypeError, LookupError, ArithmeticError)

Span = tuple[float, float, str]


def read_tune(path: str | Path) -> Tune:
    """The pitch classes that a MIDI file has sounding together, from one change to the next; percussion is left out.

    Args:
        path: A Standard MIDI File of type 0 or 1, of at most 4 MiB, with any number of tracks and tempi.

    Raises:
        DataError: It cannot be read, is too long, or has no notes.
    """
    import mido

    with open_regular(path, DataError, "give a Standard MIDI File, .mid") as file:
        if len(file.read(MOST_BYTES + 1)) > MOST_BYTES:
            raise DataError(f"{path}: more than {MOST_BYTES >> 20} MiB; a tune has a few kilobytes")
        file.seek(0)
        try:
            spans = _spans(mido.MidiFile(file=file, clip=True))
        except (*_RAW, mido.KeySignatureError) as cause:
            raise DataError(f"{path} is no MIDI file that can be read ({type(cause).__name__}: {cause})") from None
    if not spans:
        raise DataError(f"{path} has no notes, beside percussion")
    if len(spans) > MOST:
        raise DataError(f"{path} has {len(spans)} notes; a tune has at most {MOST}, so cut it")
    return Tune.of(_parts(spans))


def _spans(file: "mido.MidiFile") -> list[Span]:  # type: ignore[name-defined]  # noqa: F821
    """From when to when each note sounds, in seconds, and its pitch class."""
    now, spans = 0.0, []
    began: dict[tuple[int, int], float] = {}
    for message in file:
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == DRUM_CHANNEL:
            continue
        key = (message.channel, message.note)
        if key in began:
            spans.append((began.pop(key), now, PITCH_CLASSES[message.note % 12]))
        if message.type == "note_on" and message.velocity:
            began[key] = now
    return spans + [(start, now, PITCH_CLASSES[note % 12]) for (_, note), start in began.items()]


def _parts(spans: list[Span]) -> list[tuple[str, float]]:
    """What sounds together, and for how long."""
    # Hundredths of a second, so that notes which were not cut at the very same moment have no edge between them.
    edges = sorted({0.0, *(round(at, 2) for start, stop, _ in spans for at in (start, stop))})
    parts = []
    for start, stop in pairwise(edges):
        middle = (start + stop) / 2
        sounding = dict.fromkeys(name for begins, ends, name in spans if begins < middle < ends)
        parts.append(("+".join(sounding) or REST, round(stop - start, 2)))
    return parts
