"""Which triad is played.

Accuracy on 160 triads in three inversions that FluidSynth played with FluidR3: quality 97.5 %, and as many root and
quality where any tone of an augmented triad counts as its root. At most 1 of 80 single notes passes for a
triad.
`python benchmarks/evaluators.py --soundfont` measures it again on its own draw.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mmsteer.eval.activity import HOP_S, LOWEST, Activity, read_activity
from mmsteer.eval.audio import Floats
from mmsteer.types.pitch import PITCH_CLASSES, TRIADS

LABELS = tuple(f"{root}:{quality}" for quality in TRIADS for root in PITCH_CLASSES)
NO_CHORD = "N"
MIN_FIT = 0.8  # cosine with the template: single notes read 0.66 (95 % below 0.79), triads 0.98 (98 % above 0.89)
MIN_TONE = 0.35  # weakest tone of the triad over the strongest: single notes read 0.06, triads 0.84
MIN_VOICED = 0.05
WINDOW_S = 0.5


@dataclass(frozen=True, eq=False)
class ChordReading:
    """The triad of a clip.

    Attributes:
        label: In the syntax of mir_eval, such as `C#:min`; None when no triad can be told.
        root: Its root; None as above.
        quality: One of `TRIADS`; None as above.
        fit: Cosine of the clip's pitch classes with the best triad.
        edges_s: Edges of the windows of the trace, (windows + 1,).
        trace: The label in each window, `N` where there is none.
    """

    label: str | None
    root: str | None
    quality: str | None
    fit: float
    edges_s: Floats
    trace: tuple[str, ...]


def read_chord(samples: NDArray[np.floating], sample_rate: int) -> ChordReading:
    """Name the triad that a clip consists of, in any inversion, held or broken.

    An augmented triad divides the octave evenly, so its lowest note is taken for its root. More than one chord
    in the clip: read the trace.

    `samples`: mono audio, (samples,).
    `sample_rate`: samples per second.

    Raises:
        EvalError: The audio is not mono, is empty, or is not finite.
    """
    return chord_from_activity(read_activity(samples, sample_rate))


def chord_from_activity(activity: Activity) -> ChordReading:
    """Name the triad of a clip whose notes are known."""
    voiced = activity.voiced
    notes = np.where(voiced[:, None], activity.notes, 0)
    per_window = max(1, round(WINDOW_S / HOP_S))
    starts = range(0, len(notes), per_window)
    trace = tuple(name_triad(notes[at : at + per_window])[0] or NO_CHORD for at in starts)
    edges = np.minimum(np.array([*starts, len(notes)]), len(notes)) * HOP_S
    label, fit = name_triad(notes) if activity.voiced_share >= MIN_VOICED else (None, 0.0)
    root, quality = label.split(":") if label else (None, None)
    return ChordReading(label, root, quality, fit, edges, trace)


@lru_cache(maxsize=1)
def _templates() -> Floats:
    """The triads as unit vectors over the pitch classes, (labels, 12)."""
    rows = np.zeros((len(LABELS), 12))
    for index, label in enumerate(LABELS):
        root, quality = label.split(":")
        rows[index, [(PITCH_CLASSES.index(root) + step) % 12 for step in TRIADS[quality]]] = 3**-0.5
    return rows


def name_triad(notes: Floats) -> tuple[str | None, float]:
    """The best triad of some frames of notes, and how well it fits.

    Args:
        notes: Strength of the notes from `activity.LOWEST` on, (frames, notes).
    """
    classes = np.arange(LOWEST, LOWEST + notes.shape[1]) % 12
    strength = np.array([notes[:, classes == pitch].sum() for pitch in range(12)])
    length = float(np.linalg.norm(strength))
    if length == 0:
        return None, 0.0
    fits = _templates() @ strength / length
    best = int(fits.argmax())
    tones = strength[_templates()[best] > 0]
    if fits[best] < MIN_FIT or tones.min() < MIN_TONE * tones.max():
        return None, float(fits[best])
    root, quality = LABELS[best].split(":")
    if quality == "aug":
        root = _lowest(notes, _templates()[best] > 0)
    return f"{root}:{quality}", float(fits[best])


def _lowest(notes: Floats, members: NDArray[np.bool_]) -> str:
    """The lowest clearly sounding pitch class among some."""
    total = notes.sum(axis=0)
    classes = np.arange(LOWEST, LOWEST + len(total)) % 12
    sounding = np.flatnonzero(members[classes] & (total > 0.25 * total.max()))
    return PITCH_CLASSES[int(classes[sounding[0]])]
