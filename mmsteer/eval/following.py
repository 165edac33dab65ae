"""Whether what is played follows the schedule that asked for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmsteer.errors import EvalError
from mmsteer.eval.audio import Floats

WINDOW_S = 0.5
MIN_WINDOWS = 4
MAX_LAG = 0.25  # of the length: what matches only beyond is another schedule


@dataclass(frozen=True)
class Following:
    """How a played trace follows a schedule.

    Attributes:
        pearson: Correlation of the windows' values; None when one of the two does not change.
        spearman: Correlation of their ranks; None as above.
        lag_s: How much later than the schedule the trace fits best; None as above.
        windows: How many windows were compared; those that nothing was heard in are left out.
    """

    pearson: float | None
    spearman: float | None
    lag_s: float | None
    windows: int


def average_trace(
    traces: Sequence[tuple[Floats, Floats]], edges_s: Floats, weights: Sequence[Floats] | None = None
) -> Floats:
    """The mean of many clips' traces in windows of time, NaN where no frame counts, (windows,).

    Args:
        traces: For each clip the frames' times in seconds and their values.
        edges_s: The windows' edges in seconds, (windows + 1,).
        weights: For each clip how much a frame counts, such as 1 where it is voiced; all count alike if
            left out.

    Raises:
        EvalError: There is no clip, or lengths differ.
    """
    if not traces or (weights is not None and len(weights) != len(traces)):
        raise EvalError(f"{len(traces)} traces to average with {'no' if weights is None else len(weights)} weights")
    total, count = np.zeros(len(edges_s) - 1), np.zeros(len(edges_s) - 1)
    for index, (times, values) in enumerate(traces):
        weight = np.ones(len(values)) if weights is None else weights[index]
        if not len(times) == len(values) == len(weight):
            raise EvalError(f"trace {index}: {len(times)} times, {len(values)} values, {len(weight)} weights")
        total += np.histogram(times, edges_s, weights=weight * values)[0]
        count += np.histogram(times, edges_s, weights=weight)[0]
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def window_edges(seconds: float, window_s: float = WINDOW_S) -> Floats:
    """Edges of equal windows over a clip, (windows + 1,).

    `window_s`: length of a window; rounded so that whole windows fill the clip.
    """
    return np.linspace(0, seconds, max(1, round(seconds / window_s)) + 1)


def follow(schedule: Floats, played: Floats, window_s: float = WINDOW_S) -> Following:
    """Compare a schedule with what was played, window by window.

    Args:
        schedule: Its value in each window, (windows,).
        played: The averaged trace in each window, NaN where nothing was heard, (windows,).
        window_s: Length of a window, in seconds.

    Raises:
        EvalError: The two differ in length, or fewer than four windows can be compared.
    """
    from scipy.stats import rankdata

    if schedule.shape != played.shape:
        raise EvalError(f"a schedule of {schedule.shape} windows and a trace of {played.shape}; sample both alike")
    heard = np.isfinite(played)
    if heard.sum() < MIN_WINDOWS:
        raise EvalError(f"only {heard.sum()} windows can be compared; {MIN_WINDOWS} are needed, so make them shorter")
    x, y = schedule[heard], played[heard]
    pearson = _correlation(x, y)
    if pearson is None:
        return Following(None, None, None, int(heard.sum()))
    return Following(pearson, _correlation(rankdata(x), rankdata(y)), _lag(schedule, played, window_s), len(x))


def crossing_s(times_s: Floats, fading: Floats, rising: Floats) -> float | None:
    """When a rising trace overtakes a fading one; None when it never does.

    The last moment before which the fading trace leads in sum and after which the rising one does: a brief
    exchange of the lead does not count.

    Args:
        times_s: The middle of each window, (windows,).
        fading: The trace that should lead first, (windows,).
        rising: The trace that should lead last, (windows,).

    Raises:
        EvalError: The three differ in length.
    """
    if not len(times_s) == len(fading) == len(rising):
        raise EvalError(f"a cross-fade of {len(times_s)} times, {len(fading)} and {len(rising)} values")
    heard = np.isfinite(fading) & np.isfinite(rising)
    times, lead = times_s[heard], (rising - fading)[heard]
    flips = np.flatnonzero((lead[:-1] <= 0) & (lead[1:] > 0))
    if not len(flips):
        return None
    gains = [lead[at + 1 :].sum() - lead[: at + 1].sum() for at in flips]
    at = int(flips[int(np.argmax(gains))])
    share = lead[at] / (lead[at] - lead[at + 1])
    return float(times[at] + share * (times[at + 1] - times[at]))


def _correlation(x: Floats, y: Floats) -> float | None:
    if np.ptp(x) < 1e-12 or np.ptp(y) < 1e-12:
        return None
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))


def _lag(schedule: Floats, played: Floats, window_s: float) -> float:
    """The shift of the trace with the highest correlation, the smallest among equals, in seconds."""
    limit = min(int(MAX_LAG * len(played)), len(played) - MIN_WINDOWS)
    best, best_fit = 0, -np.inf
    for shift in sorted(range(-limit, limit + 1), key=abs):
        x = schedule[max(0, -shift) : len(schedule) - max(0, shift)]
        y = played[max(0, shift) : len(played) - max(0, -shift)]
        heard = np.isfinite(y)
        fit = _correlation(x[heard], y[heard]) if heard.sum() >= MIN_WINDOWS else None
        if fit is not None and fit > best_fit + 1e-9:
            best, best_fit = shift, fit
    return best * window_s
