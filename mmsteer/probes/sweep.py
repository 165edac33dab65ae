"""One probe at every site, in one call."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from rich.progress import Progress as Bar
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import Fitted, Probe, Progress
from mmsteer.probes.targets import Labels, Task
from mmsteer.types import Activations, Direction, Site, SiteStats

MODEL_KEY = "model"


@dataclass(frozen=True)
class Row:
    """What a probe reached at one site.

    Attributes:
        site: Where.
        metric: `auc`, `accuracy` or `r2`.
        score: The predictor's held-out score.
        labels: For each label the held-out score of its direction alone.
    """

    site: Site
    metric: str
    score: float
    labels: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Sweep:
    """A probe fitted at every site.

    Attributes:
        rows: The table of scores, in the order of the sites.
        directions: For each `family:label` one direction over all sites.
        fitted: The fits themselves.
    """

    rows: tuple[Row, ...]
    directions: Mapping[str, Direction]
    fitted: Mapping[Site, Fitted]


def sweep(
    probe: Probe,
    activations: Activations,
    labels: Labels,
    *,
    family: str,
    task: Task,
    groups: Sequence[str] | None = None,
    sites: Iterable[Site] | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Sweep:
    """Fit one probe at every site and gather the directions.

    Args:
        probe: Settings of the probe.
        activations: Pooled hidden states, (samples, width) at each site.
        labels: One label a sample.
        family: What the labels are about; directions are named `family:label`.
        task: What kind of question the labels answer.
        groups: The source of each sample; no source is on both sides of a split.
        sites: Where to fit; None means everywhere.
        device: Where to compute.
        progress: Show a progress bar on the terminal.

    Raises:
        ProbeError: A site was not recorded, or its data cannot carry a probe.
    """
    chosen = _choose(activations, sites)
    fitted: dict[Site, Fitted] = {}
    with _bar(len(chosen), progress) as step:
        for done, site in enumerate(chosen):
            try:
                fitted[site] = probe.fit(
                    activations.values[site].to(device),
                    labels,
                    task=task,
                    groups=groups,
                    progress=step(done, site),
                )
            except ProbeError as error:
                raise ProbeError(f"{family} at {site}: {error}") from error
    rows = tuple(Row(site, fit.metric, fit.score, fit.label_scores) for site, fit in fitted.items())
    names = next(iter(fitted.values())).directions
    directions = {f"{family}:{label}": _gather(f"{family}:{label}", label, fitted, activations) for label in names}
    return Sweep(rows, directions, fitted)


def _choose(activations: Activations, sites: Iterable[Site] | None) -> tuple[Site, ...]:
    chosen = activations.sites if sites is None else tuple(sites)
    missing = [str(site) for site in chosen if site not in activations.values]
    if missing or not chosen:
        have = ", ".join(map(str, activations.sites))
        raise ProbeError(f"no activations at {', '.join(missing) or 'any site'}; recorded are: {have or 'none'}")
    if MODEL_KEY not in activations.source:
        raise ProbeError(
            f"activations do not say which {MODEL_KEY} they come from, and a direction belongs to one model; "
            f"record them again, or add source[{MODEL_KEY!r}]"
        )
    return chosen


@contextmanager
def _bar(total: int, shown: bool) -> Iterator[Callable[[int, Site], Progress]]:
    """Yields what makes the callback of one site, which moves the bar by fractions of it."""
    with Bar(disable=not shown) as bar:
        task = bar.add_task("fitting probes", total=total)

        def start(done: int, site: Site) -> Progress:
            return lambda part: bar.update(task, completed=done + part, description=f"fitting {site}")

        yield start


def _gather(name: str, label: str, fitted: Mapping[Site, Fitted], activations: Activations) -> Direction:
    vectors = {site: fit.directions[label] for site, fit in fitted.items()}
    return Direction(
        name=name,
        vectors=vectors,
        stats={
            site: _stats(vectors[site], activations.values[site], fit.label_scores[label], activations.norms[site])
            for site, fit in fitted.items()
        },
        model=activations.source[MODEL_KEY],
        provenance=_provenance(fitted, activations),
    )


def _stats(vector: Tensor, states: Tensor, score: float, norm: float) -> SiteStats:
    projection = states.float().cpu() @ vector
    return SiteStats(score, float(projection.mean()), float(projection.std()), norm)


def _provenance(fitted: Mapping[Site, Fitted], activations: Activations) -> dict[str, str]:
    """Where the activations come from, and the settings of every site as one JSON text."""
    settings = {str(site): fit.settings for site, fit in fitted.items()}
    probe = str(next(iter(fitted.values())).settings["probe"])
    source = {key: value for key, value in activations.source.items() if key != MODEL_KEY}
    return {**source, "probe": probe, "settings": json.dumps(settings, allow_nan=False, sort_keys=True)}
