"""What was scheduled beside what was played, over time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmsteer.eval.notes import PITCH_CLASSES
from mmsteer.schedules import Timeline
from mmsteer.steering import Attribute, Steering

Line = Mapping[str, Any]


def condition_traces(
    steering: Steering, clips: Sequence[Line], unsteered: Sequence[Line] | None, timeline: Timeline
) -> list[dict[str, Any]]:
    """For each attribute its strength over time, and the share of clips that play its note at each moment.

    Args:
        steering: What was applied.
        clips: The condition's lines of `samples.jsonl`.
        unsteered: Those of the unsteered run.
        timeline: The clock of the generation.
    """
    return [_attribute(item, clips, unsteered, timeline) for item in steering.attributes]


def _attribute(
    item: Attribute, clips: Sequence[Line], unsteered: Sequence[Line] | None, timeline: Timeline
) -> dict[str, Any]:
    strength = item.strength * item.schedule.values(timeline).mean(axis=0)
    times = np.arange(timeline.steps) / (timeline.rate or 1.0)
    label = item.direction.name.split(":", 1)[-1]
    return {
        "direction": item.direction.name,
        "label": label,
        "schedule": {"times_s": times.round(4).tolist(), "strength": strength.round(6).tolist()},
        "played": _played(label, clips, unsteered),
    }


def _played(label: str, clips: Sequence[Line], unsteered: Sequence[Line] | None) -> dict[str, Any] | None:
    if label not in PITCH_CLASSES or any("notes" not in clip["readings"] for clip in clips):
        return None
    hop = clips[0]["readings"]["notes"]["trace"]["hop_s"]
    share = _share(label, clips)
    times = [round(at * hop, 4) for at in range(len(share))]
    return {"times_s": times, "share": share, "unsteered": _share(label, unsteered) if unsteered else None}


def _share(label: str, clips: Sequence[Line]) -> list[float | None]:
    """Of the clips in which a pitch is heard at each moment, the share that plays the note; None where none is."""
    classes = np.array([clip["readings"]["notes"]["trace"]["classes"] for clip in clips])
    heard, hit = (classes >= 0).sum(axis=0), (classes == PITCH_CLASSES.index(label)).sum(axis=0)
    return [round(int(h) / int(n), 6) if n else None for h, n in zip(hit, heard, strict=True)]
