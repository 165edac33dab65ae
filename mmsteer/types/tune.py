"""A tune: which pitch classes are to sound when, which schedules follow and audio is held against."""

import re
from dataclasses import dataclass
from itertools import pairwise

from mmsteer.errors import DataError, clip
from mmsteer.types.pitch import PITCH_CLASSES, TRIADS, pitch_class

REST = "rest"
MOST = 2000
"""Notes and chords of one tune."""
LONGEST_S = 3600.0
_PART = re.compile(r"(?P<what>\S+)\s+(?P<seconds>\d+(?:\.\d+)?)\s*s")
_OCTAVE = re.compile(r"-?\d$")


@dataclass(frozen=True)
class TuneEvent:
    """What is to sound from one moment to another.

    Attributes:
        start_s: When it begins.
        stop_s: When it ends.
        label: A note such as `C4`, a chord such as `A:min`, notes such as `C+E+G`, or `rest`.
        classes: Its pitch classes, of `PITCH_CLASSES`; none for a rest.
    """

    start_s: float
    stop_s: float
    label: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Tune:
    """Notes, chords and rests, one after another.

    Attributes:
        events: In order, each from where the one before ends.
    """

    events: tuple[TuneEvent, ...]

    @classmethod
    def parse(cls, text: str) -> "Tune":
        """Read a tune.

        Args:
            text: Parts with commas between them, each of what sounds and for how long: a note (`C4`, `Bb`; the octave
                is read over, as pitch classes have none), a triad in the syntax of mir_eval (`A:min`, of `maj`, `min`,
                `aug` and `dim`), notes together (`C+E+G`), or `rest`.

        Raises:
            DataError: It cannot be read, is too long, or nothing sounds.

        >>> str(Tune.parse("C4 0.5s, Bb 0.5s, A:min 1s, rest 1s"))
        'C4 0.5s, Bb 0.5s, A:min 1s, rest 1s'
        >>> Tune.parse("A:min 1s").events[0].classes
        ('A', 'C', 'E')
        """
        parts = text.split(",", MOST)
        if len(parts) > MOST:
            raise DataError(f"a tune of more than {MOST} parts, {clip(text)}")
        return cls.of([_part(part) for part in parts])

    @classmethod
    def of(cls, parts: "list[tuple[str, float]]") -> "Tune":
        """A tune of labels and durations.

        Args:
            parts: What sounds, and for how many seconds.

        Raises:
            DataError: A label cannot be read, it lasts over an hour, or nothing sounds.
        """
        ends = [0.0]
        for _, seconds in parts:
            ends.append(round(ends[-1] + seconds, 6))
        if ends[-1] > LONGEST_S:
            raise DataError(f"a tune of {ends[-1]:g} s; at most {LONGEST_S:g} s are read")
        events = [
            TuneEvent(start, stop, label, _classes(label))
            for (label, _), (start, stop) in zip(parts, pairwise(ends), strict=True)
        ]
        if not any(event.classes for event in events):
            raise DataError("nothing sounds in this tune; write such as 'C4 0.5s, E4 0.5s' or 'C:maj 1s, A:min 1s'")
        return cls(tuple(events))

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.events[-1].stop_s

    def spans(self) -> dict[str, list[tuple[float, float]]]:
        """For each pitch class from when to when it is to sound, in seconds; what follows without a gap is one span."""
        found: dict[str, list[tuple[float, float]]] = {}
        for event in self.events:
            for name in event.classes:
                spans = found.setdefault(name, [])
                begins = spans.pop()[0] if spans and spans[-1][1] == event.start_s else event.start_s
                spans.append((begins, event.stop_s))
        return found

    def __str__(self) -> str:
        return ", ".join(f"{one.label} {one.stop_s - one.start_s:g}s" for one in self.events)


def _part(text: str) -> tuple[str, float]:
    match = _PART.fullmatch(text.strip())
    if not match or not float(match["seconds"]) > 0:
        raise DataError(
            f"cannot read {clip(text.strip())} in a tune; write what sounds and how long, such as 'C4 0.5s'"
        )
    return match["what"], float(match["seconds"])


def _classes(label: str) -> tuple[str, ...]:
    if label == REST:
        return ()
    root, colon, quality = label.partition(":")
    if not colon:
        return tuple(dict.fromkeys(_class(part) for part in label.split("+")))
    if quality not in TRIADS:
        raise DataError(f"no chord {clip(label)}; write a root and one of {', '.join(TRIADS)}, such as 'A:min'")
    at = PITCH_CLASSES.index(_class(root))
    return tuple(PITCH_CLASSES[(at + step) % 12] for step in TRIADS[quality])


def _class(text: str) -> str:
    found = pitch_class(_OCTAVE.sub("", text))
    if found is None:
        raise DataError(f"no note {clip(text)}; write such as C, F#4 or Bb, a chord such as 'A:min', or {REST}")
    return found
