"""One probe at every site, in one call."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from rich.progress import Progress as Bar
from torch import Tensor

from mmsteer.errors import ProbeError
from mmsteer.probes.fitted import Fitted, JointProbe, Probe, Progress
from mmsteer.probes.orthogonal import project_away, turned_away
from mmsteer.probes.targets import Labels, TargetKind
from mmsteer.types import Activations, Direction, Site, SiteStats
from mmsteer.workers import Held, Workers

MODEL_KEY, POOL_KEY = "model", "pool"
TOKENS = "tokens"


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
    task: TargetKind,
    groups: Sequence[str] | None = None,
    sites: Iterable[Site] | None = None,
    without: Sequence[Direction] = (),
    device: str | torch.device = "cpu",
    workers: Workers | None = None,
    progress: bool = True,
) -> Sweep:
    """Fit one probe at every site and gather the directions.

    With `without`, the states lose what lies along other directions before the probe sees them; the difference of
    means then loses its projection on them, as in REVIS, and the held-out scores are those of what is left.

    Args:
        probe: Settings of the probe.
        activations: Hidden states, (samples, width) at each site, or (samples, tokens, width) where the pool is
            `tokens`, which gives each token a direction of its own.
        labels: One label a sample.
        family: What the labels are about; directions are named `family:label`.
        task: What kind of question the labels answer.
        groups: The source of each sample; no source is on both sides of a split.
        sites: Where to fit; None means everywhere.
        without: Directions of the same model, at these sites, that the new ones shall be orthogonal to.
        device: Where to compute.
        workers: What fits the sites, each on its own CPU; their fits come without predictor. None for this process, as
            for probes that fit all sites together.
        progress: Show a progress bar on the terminal.

    Raises:
        ProbeError: A site was not recorded, or its data cannot carry a probe.
    """
    states = {
        site: project_away(activations.values[site].to(device), site, without) for site in _choose(activations, sites)
    }
    everywhere = probe if isinstance(probe, JointProbe) else _EachSite(probe, workers)
    with _bar(progress) as moved:
        try:
            fits = everywhere.fit_sites(states, labels, task=task, groups=groups, progress=moved)
            fitted = {site: _turned(fit, site, without) for site, fit in fits.items()}
        except ProbeError as error:
            raise ProbeError(f"{family}: {error}") from error
    rows = tuple(Row(site, fit.metric, fit.score, fit.label_scores) for site, fit in fitted.items())
    names = next(iter(fitted.values())).directions
    provenance = _provenance(fitted, activations, without)
    directions = {
        f"{family}:{label}": _gather(f"{family}:{label}", label, fitted, activations, provenance) for label in names
    }
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
    deep = [str(site) for site in chosen if activations.values[site].ndim > 2]
    pool = activations.source.get(POOL_KEY)
    if deep and pool != TOKENS:
        raise ProbeError(
            f"activations at {deep[0]} are not one state a sample (pool {pool!r}); pool them by mean, last or max, "
            f"or by {TOKENS!r} for a direction at each token"
        )
    return chosen


@contextmanager
def _bar(shown: bool) -> Iterator[Progress]:
    """Yields what moves the bar to the fraction that is done."""
    with Bar(disable=not shown) as bar:
        task = bar.add_task("fitting probes", total=1)
        yield lambda part: bar.update(task, completed=part)


@dataclass(frozen=True)
class _EachSite:
    """A probe at one site after the other, or at several at once where workers fit it."""

    probe: Probe
    workers: Workers | None

    def fit_sites(
        self,
        states: Mapping[Site, Tensor],
        y: Labels,
        *,
        task: TargetKind,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Mapping[Site, Fitted]:
        if self.workers and self.workers.apart:
            return self._shared(self.workers, states, _Question(y, task, groups), progress)
        fitted: dict[Site, Fitted] = {}
        for done, (site, x) in enumerate(states.items()):
            step = _share(progress, done, len(states)) if progress else None
            try:
                fitted[site] = self.probe.fit(x, y, task=task, groups=groups, progress=step)
            except ProbeError as error:
                raise ProbeError(f"{site}: {error}") from error
        return fitted

    def _shared(
        self, workers: Workers, states: Mapping[Site, Tensor], asked: "_Question", progress: Progress | None
    ) -> Mapping[Site, Fitted]:
        found: dict[Site, Fitted] = {}
        for piece, fit in workers.map([_FittedSite(self.probe, site, x.cpu(), asked) for site, x in states.items()]):
            found[piece.site] = fit
            if progress:
                progress(len(found) / len(states))
        return {site: found[site] for site in states}


@dataclass(frozen=True, eq=False)
class _Question:
    """What all sites are fitted to."""

    labels: Labels
    task: TargetKind
    groups: Sequence[str] | None


@dataclass(frozen=True, eq=False)
class _FittedSite:
    """Fit a probe at a site."""

    probe: Probe
    site: Site
    x: Tensor
    asked: _Question

    def do(self, held: Held) -> Fitted:
        """The fit without its predictor, which may be any function.

        Raises:
            ProbeError: The data cannot carry a probe.
        """
        asked = self.asked
        try:
            found = self.probe.fit(self.x, asked.labels, task=asked.task, groups=asked.groups)
        except ProbeError as error:
            raise ProbeError(f"{self.site}: {error}") from error
        return replace(found, predictor=_elsewhere)

    def __str__(self) -> str:
        return f"fitting a probe at {self.site}"


def _elsewhere(_: Tensor) -> Tensor:
    raise ProbeError("a worker fitted this probe and kept its predictor; fit the site without workers to predict")


def _share(progress: Progress, done: int, total: int) -> Progress:
    return lambda part: progress((done + part) / total)


def _turned(fit: Fitted, site: Site, without: Sequence[Direction]) -> Fitted:
    """A fit to states without some directions, and orthogonal to them; it reads those states as before, scores too.

    The weight of a standardised regression, or a random vector, is not orthogonal by itself.
    """
    return replace(fit, directions={name: turned_away(one, site, without) for name, one in fit.directions.items()})


def _gather(
    name: str, label: str, fitted: Mapping[Site, Fitted], activations: Activations, provenance: Mapping[str, str]
) -> Direction:
    vectors = {site: fit.directions[label] for site, fit in fitted.items()}
    return Direction(
        name=name,
        vectors=vectors,
        stats={
            site: SiteStats.of(
                fit.label_scores[label], _projection(vectors[site], activations.values[site]), activations.norms[site]
            )
            for site, fit in fitted.items()
        },
        model=activations.source[MODEL_KEY],
        provenance=provenance,
        sketch=activations.sketch,
    )


def _projection(vector: Tensor, states: Tensor) -> Tensor:
    return torch.linalg.vecdot(states.float().cpu(), vector)  # (samples,), or (samples, tokens)


def _provenance(
    fitted: Mapping[Site, Fitted], activations: Activations, without: Sequence[Direction]
) -> dict[str, str]:
    """Where the activations come from, and the settings of every site as one JSON text."""
    settings = {str(site): fit.settings for site, fit in fitted.items()}
    probe = str(next(iter(fitted.values())).settings["probe"])
    left_out = {"without": ", ".join(direction.name for direction in without)} if without else {}
    written = json.dumps(settings, allow_nan=False, sort_keys=True)
    return {**activations.provenance, **left_out, "probe": probe, "settings": written}
