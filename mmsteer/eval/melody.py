"""The main line of a clip as a sequence of notes."""

from dataclasses import dataclass

import numpy as np

from mmsteer.eval.activity import HOP_S, Activity
from mmsteer.eval.audio import Floats
from mmsteer.eval.register import main_line

SHORTEST = 4  # frames, 0.13 s: what is shorter is the passage from one note to the next
SMOOTHING = 5  # frames of the median filter


@dataclass(frozen=True)
class HeardNote:
    """One note of the main line; a note struck twice is heard as one.

    `onset_s`: when it begins, to a frame of 32 ms.
    `duration_s`: how long it lasts.
    """

    onset_s: float
    duration_s: float
    midi: int


def read_melody(activity: Activity) -> tuple[HeardNote, ...]:
    """The notes of the main line, in order."""
    from scipy.ndimage import median_filter

    line = main_line(activity) - activity.tuning
    steps = median_filter(np.where(np.isfinite(line), line, 0).round(), SMOOTHING)
    edges = np.flatnonzero(np.diff(steps)) + 1
    starts, stops = np.r_[0, edges], np.r_[edges, len(steps)]
    runs = [(a, b, int(steps[a])) for a, b in zip(starts, stops, strict=True) if b - a >= SHORTEST and steps[a] > 0]
    return _merged([HeardNote(float(a * HOP_S), float((b - a) * HOP_S), midi) for a, b, midi in runs])


def _merged(notes: list[HeardNote]) -> tuple[HeardNote, ...]:
    """Join neighbours of the same pitch that only a short passage parted."""
    joined: list[HeardNote] = []
    for note in notes:
        last = joined[-1] if joined else None
        if last and last.midi == note.midi and note.onset_s - last.onset_s - last.duration_s < SHORTEST * HOP_S:
            joined[-1] = HeardNote(last.onset_s, note.onset_s + note.duration_s - last.onset_s, note.midi)
        else:
            joined.append(note)
    return tuple(joined)


def class_shares(notes: tuple[HeardNote, ...]) -> Floats:
    """The share of the time that each pitch class takes, (12,); zeros for no notes."""
    shares = np.zeros(12)
    for note in notes:
        shares[note.midi % 12] += note.duration_s
    return shares / max(shares.sum(), 1e-12)
