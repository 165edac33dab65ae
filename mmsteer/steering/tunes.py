"""A tune as lines of steering: each pitch class along its direction, while it is to sound.

A chord is the sum of its notes: on bundled:music a progression of four triads is followed so (`docs/music.md`), whereas
directions of chord qualities moved nothing.
"""

import re

from mmsteer.errors import SteeringError, clip
from mmsteer.types.tune import Tune

_TUNE = re.compile(r"tune\((?P<tune>[^()]*)\)\s+(?P<strength>\S+)(?P<rest>(?:\s.*)?)", re.DOTALL)


def expanded(line: str) -> list[str]:
    """The lines that a line stands for: of `tune(...)` one a pitch class, of any other itself.

    Args:
        line: Such as `tune(C4 0.5s, E4 0.5s, A:min 1s) 0.08 branch conditional`: a tune as `Tune.parse` reads it, the
            strength of each note, and what else a line may say but a schedule.

    Raises:
        SteeringError: A tune has no strength behind it.
        DataError: The tune cannot be read.

    >>> expanded("tune(C4 0.5s, E4 0.5s, C4 1s) 0.08 on decoder.2")
    ['note:C 0.08 window(0s..0.5s) + window(1s..2s) on decoder.2', 'note:E 0.08 window(0.5s..1s) on decoder.2']
    """
    if not line.startswith("tune("):
        return [line]
    match = _TUNE.fullmatch(line)
    if not match:
        raise SteeringError(f"cannot read {clip(line)}; write tune(NOTE SECONDS, ...) STRENGTH, such as {EXAMPLE!r}")
    spans = Tune.parse(match["tune"]).spans()
    return [f"note:{name} {match['strength']} {_windows(times)}{match['rest']}" for name, times in spans.items()]


EXAMPLE = "tune(C4 0.5s, E4 0.5s, A:min 1s) 0.08"


def _windows(spans: list[tuple[float, float]]) -> str:
    return " + ".join(f"window({start:g}s..{stop:g}s)" for start, stop in spans)
