"""What was scheduled beside what was played, over time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsteer.eval.audio import Floats
from mmsteer.eval.following import MIN_WINDOWS, average_trace, crossing_s, follow, window_edges
from mmsteer.recipes.curves import strength
from mmsteer.schedules import Timeline
from mmsteer.steering import Attribute, Steering
from mmsteer.types.pitch import PITCH_CLASSES

Line = Mapping[str, Any]


def condition_traces(
    steering: Steering, clips: Sequence[Line], unsteered: Sequence[Line] | None, timeline: Timeline
) -> dict[str, Any]:
    """For each attribute its strength over time, and the share of clips that play its note at each moment.

    Args:
        steering: What was applied.
        clips: The condition's lines of `samples.jsonl`.
        unsteered: Those of the unsteered run.
        timeline: The clock of the generation.
    """
    attributes = [_attribute(item, clips, unsteered, timeline) for item in steering.attributes]
    return {"attributes": attributes, "crossing": _crossing(attributes)}


def _attribute(
    item: Attribute, clips: Sequence[Line], unsteered: Sequence[Line] | None, timeline: Timeline
) -> dict[str, Any]:
    pushed = strength(item, timeline)
    times = np.arange(timeline.steps) / (timeline.rate or 1.0)
    label = item.direction.name.split(":", 1)[-1]
    heard = label in PITCH_CLASSES and all("notes" in clip["readings"] for clip in clips)
    return {
        "direction": item.direction.name,
        "label": label,
        "schedule": {"times_s": times.round(4).tolist(), "strength": pushed.round(6).tolist()},
        "played": _played(label, clips, unsteered) if heard else None,
        "following": _following(label, clips, times, pushed) if heard else None,
    }


def _played(label: str, clips: Sequence[Line], unsteered: Sequence[Line] | None) -> dict[str, Any]:
    times, share = _share(label, clips)
    return {"times_s": times, "share": share, "unsteered": _share(label, unsteered)[1] if unsteered else None}


def _share(label: str, clips: Sequence[Line]) -> tuple[list[float], list[float | None]]:
    """Of the clips in which a pitch is heard at each moment, the share that plays the note; None where none is."""
    classes = np.array([_classes(clip) for clip in clips])
    heard, hit = (classes >= 0).sum(axis=0), (classes == PITCH_CLASSES.index(label)).sum(axis=0)
    share = [round(int(h) / int(n), 6) if n else None for h, n in zip(hit, heard, strict=True)]
    return _times(clips[0]).round(4).tolist(), share


def _following(label: str, clips: Sequence[Line], times: Floats, strength: Floats) -> dict[str, Any] | None:
    """How the played note follows the schedule, in windows of half a second; None where the clips are too short."""
    edges = window_edges(float(times[-1]))
    classes = [_classes(clip) for clip in clips]
    hits = [(row == PITCH_CLASSES.index(label)).astype(np.float64) for row in classes]
    traces = [(_times(clip), hit) for clip, hit in zip(clips, hits, strict=True)]
    played = average_trace(traces, edges, [(row >= 0).astype(np.float64) for row in classes])
    if np.isfinite(played).sum() < MIN_WINDOWS:
        return None
    middles = (edges[:-1] + edges[1:]) / 2
    wanted = average_trace([(times, strength)], edges)
    known = [None if np.isnan(value) else round(float(value), 6) for value in played]
    found = follow(wanted, played, float(edges[1] - edges[0]))
    return asdict(found) | {"times_s": middles.tolist(), "strength": wanted.tolist(), "played": known}


def _crossing(attributes: Sequence[Mapping[str, Any]]) -> dict[str, float | None] | None:
    """When the second of two notes overtakes the first, as scheduled and as played; None where nothing fades over."""
    traced = [item["following"] for item in attributes if item["following"]]
    if len(traced) != 2:
        return None
    fading, rising = sorted(traced, key=lambda one: float(one["strength"][-1] - one["strength"][0]))
    times = np.array(fading["times_s"])
    scheduled, played = (
        crossing_s(times, *(np.array(one[key], dtype=np.float64) for one in (fading, rising)))
        for key in ("strength", "played")
    )
    return None if scheduled is None else {"scheduled_s": scheduled, "played_s": played}


def _classes(clip: Line) -> NDArray[np.int64]:
    return np.array(clip["readings"]["notes"]["trace"]["classes"], dtype=np.int64)


def _times(clip: Line) -> Floats:
    trace = clip["readings"]["notes"]["trace"]
    return np.arange(len(trace["classes"]), dtype=np.float64) * float(trace["hop_s"])
