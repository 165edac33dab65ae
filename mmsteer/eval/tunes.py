"""How well a clip follows a tune: the share of its time in which what was asked for sounds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsteer.errors import EvalError
from mmsteer.types.pitch import PITCH_CLASSES
from mmsteer.types.tune import Tune

NO_CHORD = "N"


def melody_accuracy(tune: Tune, trace: Mapping[str, Any]) -> float:
    """Share of the frames that should have a note in which that pitch class is the strongest.

    A frame in which nothing sounds, or which lies beyond the clip, is a miss; in a chord any of its notes is right.

    Args:
        tune: What was asked for.
        trace: As the evaluator `notes` reads it: `classes`, the strongest pitch class of each frame, 0 to 11, or -1
            where nothing sounds, and `hop_s`, from one frame to the next, in seconds.

    Source: raw chroma accuracy (Poliner et al. 2007; `mir_eval.melody.raw_chroma_accuracy`).
    """
    frames = np.arange(0, tune.seconds, trace["hop_s"])
    classes = np.asarray(trace["classes"], dtype=np.int64)[: len(frames)]
    played = np.pad(classes, (0, len(frames) - len(classes)), constant_values=-1)
    wanted = _wanted(tune, frames)
    hits = wanted[np.arange(len(frames)), played] & (played >= 0)
    return float(hits.sum() / max(wanted.any(axis=1).sum(), 1))


def _wanted(tune: Tune, frames_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which pitch classes are right in each frame, (frames, 12)."""
    right = np.zeros((len(frames_s), len(PITCH_CLASSES)), dtype=bool)
    for name, spans in tune.spans().items():
        for start, stop in spans:
            right[(frames_s >= start) & (frames_s < stop), PITCH_CLASSES.index(name)] = True
    return right


def check_chords(tune: Tune) -> None:
    """Refuse a tune that is no progression of chords.

    Args:
        tune: The tune.

    Raises:
        EvalError: Something in it is no chord and no rest.
    """
    single = next((event.label for event in tune.events if event.classes and ":" not in event.label), None)
    if single:
        raise EvalError(f"{single!r} is no chord, such as 'A:min'; measure notes by `melody:`")


def chord_overlap(tune: Tune, trace: Mapping[str, Any]) -> float:
    """Weighted chord symbol recall: the share of the progression's time in which its triad sounds, root and quality.

    Args:
        tune: A progression of chords.
        trace: As the evaluator `chords` reads it: `edges_s` of the windows, and `labels`, the triad of each in the
            syntax of mir_eval, `N` where there is none.

    Source: mir_eval.chord.evaluate (Raffel et al. 2014), its `triads`.
    """
    import mir_eval.chord

    asked = np.array([(event.start_s, event.stop_s) for event in tune.events])
    wanted = [event.label if event.classes else NO_CHORD for event in tune.events]
    edges = np.asarray(trace["edges_s"], dtype=np.float64)
    played = np.stack([edges[:-1], edges[1:]], axis=1)
    return float(mir_eval.chord.evaluate(asked, wanted, played, list(trace["labels"]))["triads"])
