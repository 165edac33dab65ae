"""How sure the held-out scores of a sweep are.

Scores of a small held-out part vary widely, and the best of many sites is the best by luck, too. The interval is over
held-out sources; the permutation test asks how often permuted labels reach as much at any of the sites.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsteer.probes.linear_readout import project
from mmsteer.probes.split import SHARES, split_by_source
from mmsteer.probes.sweep import Sweep
from mmsteer.probes.targets import Labels, TargetKind, encode
from mmsteer.types import Activations, Score, Site

FEWEST = 10
"""Held-out sources of a label, below which nothing is said of chance."""
DRAWS = 2000
CHUNK = 100

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class HeldOut:
    """What the held-out part says of the best site.

    Attributes:
        rows: Held-out samples.
        sources: For each label the held-out sources that have it.
        sites: How many sites were compared.
        site: The best of them.
        auc: Mean over labels of the AUC of each direction alone, there; without an interval where a label is too rare.
        p: How often permuted labels reach as much at any site; None where a label is too rare.
    """

    rows: int
    sources: Mapping[str, int]
    sites: int
    site: Site
    auc: Score
    p: float | None

    def __str__(self) -> str:
        counts = ", ".join(f"{label} {count}" for label, count in self.sources.items())
        part = f"held out: {self.rows} rows (sources of each label: {counts})"
        if self.p is None:
            rare = min(self.sources, key=lambda label: self.sources[label])
            return (
                f"{part}\nbest site: {self.site}, AUC {self.auc.value:.3f}; too few to tell it from chance: {rare} has "
                f"{self.sources[rare]} held-out sources, and {FEWEST} are needed (give each label "
                f"{round(FEWEST / SHARES[-1])} or more)"
            )
        return (
            f"{part}\nbest site: {self.site}, AUC {self.auc.value:.3f} [{self.auc.low:.3f}, {self.auc.high:.3f}]; "
            f"p {'<' if self.p * DRAWS < 1.5 else '='} {max(self.p, 1 / DRAWS):.2g} that the best of {self.sites} "
            "sites reaches this with permuted labels"
        )


def held_out(
    found: Sweep, activations: Activations, labels: Labels, *, task: TargetKind, groups: Sequence[str], seed: int = 0
) -> HeldOut:
    """Judge the best site of a sweep on the part that no probe was fitted on.

    Labels are permuted within sources where a source has several of them, as pairs do, and among sources otherwise.

    Args:
        found: The sweep.
        activations: What it was fitted on.
        labels: The labels that it was fitted to.
        task: `binary` or `multiclass`.
        groups: The source of each sample.
        seed: Of permutations and resamples; the split is the probe's own.

    Source: maximum statistic, Westfall and Young 1993, Resampling-Based Multiple Testing.
    """
    from scipy.stats import rankdata  # slow to import

    targets = encode(labels, task)
    settings = next(iter(found.fitted.values())).settings
    test = split_by_source(targets, groups, int(str(settings["seed"]))).test
    truth = targets.columns[test].double().cpu().numpy()
    _, source = np.unique(np.asarray(groups)[test.numpy()], return_inverse=True)
    read = np.stack([_projected(found, activations, site, test) for site in found.fitted])
    ranks = np.stack([rankdata(one, axis=0) for one in read])
    reached = _aucs(ranks, truth[None])[0]
    best = int(reached.argmax())
    counts = {label: len(set(source[truth[:, at] > 0])) for at, label in enumerate(targets.labels)}
    rare = counts if task == "multiclass" else {**counts, "no": len(set(source[truth[:, 0] == 0]))}
    rng = np.random.default_rng(seed)
    if min(rare.values()) < FEWEST:
        low = high = p = None
    else:
        low, high = _interval(read[best], truth, source, rng)
        p = _chance(ranks, truth, source, float(reached[best]), rng)
    site = tuple(found.fitted)[best]
    return HeldOut(len(truth), rare, len(read), site, Score(float(reached[best]), low, high, len(truth)), p)


def _projected(found: Sweep, activations: Activations, site: Site, rows: Tensor) -> Floats:
    """Held-out states along each direction, (rows, labels)."""
    directions = torch.stack(list(found.fitted[site].directions.values()), dim=-1)
    return project(activations.values[site][rows].float(), directions).double().cpu().numpy()


def _aucs(ranks: Floats, truth: Floats) -> Floats:
    """Mean AUC over labels, (draws, sites).

    `ranks`: ranks of the projections, (sites, rows, labels).
    `truth`: membership, (draws, rows, labels).
    """
    positive = truth.sum(axis=1)[:, None]  # (draws, 1, labels)
    above = np.einsum("snl,dnl->dsl", ranks, truth) - positive * (positive + 1) / 2
    return (above / (positive * (truth.shape[1] - positive))).mean(axis=-1)


def _chance(ranks: Floats, truth: Floats, source: Ints, reached: float, rng: np.random.Generator) -> float:
    hits = 0
    for start in range(0, DRAWS, CHUNK):
        some = range(start, min(start + CHUNK, DRAWS))
        permuted = np.stack([truth[_permutation(truth, source, rng)] for _ in some])
        hits += int((_aucs(ranks, permuted).max(axis=1) >= reached - 1e-12).sum())
    return (1 + hits) / (1 + DRAWS)


def _permutation(truth: Floats, source: Ints, rng: np.random.Generator) -> Ints:
    """For each row the row whose label it takes."""
    order = np.argsort(source, kind="stable")
    first = order[np.unique(source[order], return_index=True)[1]]
    if (truth == truth[first][source]).all():
        return first[rng.permutation(len(first))][source]
    taken = np.empty(len(source), dtype=np.int64)
    taken[order] = np.lexsort((rng.random(len(source)), source))
    return taken


def _interval(read: Floats, truth: Floats, source: Ints, rng: np.random.Generator) -> tuple[float, float]:
    """Percentile interval over resampled sources; draws in which a label is missing are left out."""
    sources = int(source.max()) + 1
    weights = rng.multinomial(sources, np.full(sources, 1 / sources), size=DRAWS)[:, source].astype(np.float64)
    drawn = np.mean([_weighted(read[:, at], truth[:, at] > 0, weights) for at in range(truth.shape[1])], axis=0)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _weighted(read: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """AUC of each draw, (draws,); NaN where a side is empty."""
    yes, no = read[positive][:, None], read[~positive][None]
    wins = (yes > no) + 0.5 * (yes == no)
    left, right = weights[:, positive], weights[:, ~positive]
    pairs = left.sum(axis=1) * right.sum(axis=1)
    won = ((left @ wins) * right).sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
