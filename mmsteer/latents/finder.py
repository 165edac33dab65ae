"""Features of a dictionary as a probe: the ones that go with a label, added up to one direction."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError, PositionsError
from mmsteer.latents.bound import dictionary_content
from mmsteer.latents.pooling import POOLS
from mmsteer.latents.token_states import TokenStates, token_states
from mmsteer.probes import Labels, Row, Sweep, TargetKind
from mmsteer.probes.fitted import check_states, judge
from mmsteer.probes.linear_readout import fit_line
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import encode
from mmsteer.record import Batch, collect, data_fingerprint
from mmsteer.sae import COEFFICIENTS, SparseDictionary, Usage, combined_direction, select
from mmsteer.types import Activations, Adapter, Direction, LogHistogram, Positions, Sample
from mmsteer.workers import Held, Here

RANDOM = "random"
"""The control in place of a selector: features drawn from those that are active in some sample of the label."""


def record_features(
    adapter: Adapter,
    dictionary: SparseDictionary,
    samples: Sequence[Sample],
    *,
    positions: Positions = Positions("all"),
    pool: str = "mean",
    batch: int = 8,
    folder: str | Path | None = None,
    progress: bool = False,
) -> Activations:
    """Read a dictionary's site and pool the activations of its features over tokens, (samples, features).

    Activations are pooled, not the activations of pooled states: a feature that fires at one token in fifty is lost in
    the mean state, below its threshold. Attention sinks enter no pool.

    `pool`: a name of `POOLS`.
    `folder`: where to keep the activations; a recording that was stopped goes on where it was. None for memory only.

    Returns:
        As `record` does; `norms` are those of the hidden states.

    Raises:
        DictionaryError: There is no such pool, or the dictionary does not fit the model.
        PositionsError: The positions select nothing in some sample.
    """
    if pool not in POOLS:
        raise DictionaryError(f"activations of features are pooled by {', '.join(POOLS)}, not {pool!r}")
    site = dictionary.located(adapter)
    source = {
        "model": adapter.fingerprint,
        "run_identity": adapter.run_identity,
        **adapter.sketch.written(),
        "data": data_fingerprint(samples),
        "positions": str(positions),
        "pool": pool,
        "dictionary": dictionary_content(dictionary),
    }

    def read(model: Adapter, some: Sequence[Sample]) -> Batch:
        states = [_chosen(one, positions) for one in token_states(model, some, site, batch=batch)]
        z = torch.stack([POOLS[pool](dictionary.encode(h)) for h in states])
        return {site: z}, {site: LogHistogram.of(torch.cat(states).norm(dim=-1))}

    bar = "Reading features"
    here = Here(Held(adapter))
    return collect(samples, [site], source, read, here, batch=batch, folder=folder, progress=progress, text=bar)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Features of a label.

    `coefficients`: how strong each is beside the others when it is written, (k,) float64.
    """

    features: tuple[int, ...]
    coefficients: Tensor


@dataclass(frozen=True)
class FeatureFinder:
    """How features are chosen for a label, and weighed.

    Attributes:
        selector: A name of `SELECTORS`, or `random` for the control.
        features: How many features a label gets at most.
        coefficient: A name of `COEFFICIENTS`.
        seed: Seed of the split by source, and of the random control.
    """

    selector: str = "auroc"
    features: int = 1
    coefficient: str = "positive_mean"
    seed: int = 0

    def choose(self, z: Tensor, positive: Tensor, draw: int = 0) -> Chosen:
        """The features of one label.

        Args:
            z: Pooled activations, (n, features).
            positive: Membership as 0 or 1, (n,).
            draw: Number of the label, whose random control differs from that of others.

        Raises:
            DictionaryError: There is no such selector or rule, or no feature goes with the label.
        """
        if self.coefficient not in COEFFICIENTS:
            raise DictionaryError(f"no coefficient {self.coefficient!r}; choose from {', '.join(COEFFICIENTS)}")
        if self.selector == RANDOM:
            features = self._drawn(z, positive, draw)
        else:
            features = select(z, positive, self.selector, self.features)
        return Chosen(tuple(features), COEFFICIENTS[self.coefficient](z, positive, features))

    def _drawn(self, z: Tensor, positive: Tensor, draw: int) -> list[int]:
        active = (z[positive > 0] > 0).any(dim=0).nonzero().flatten()
        if len(active) < self.features:
            raise DictionaryError(f"{len(active)} features are active in its samples; {self.features} cannot be drawn")
        generator = torch.Generator().manual_seed(self.seed * 1000 + draw)
        return active[torch.randperm(len(active), generator=generator)[: self.features]].tolist()


def feature_directions(
    dictionary: SparseDictionary,
    read: Activations,
    labels: Labels,
    finder: FeatureFinder,
    *,
    family: str,
    task: TargetKind,
    groups: Sequence[str] | None = None,
) -> Sweep:
    """Find each label's features and add them up to a direction at the dictionary's site, in the protocol of probes.

    A label's held-out score is the AUC of the sum of its features. There is nothing to choose on validation, so that
    part joins the training part.

    Args:
        dictionary: The dictionary.
        read: What `record_features` made with it.
        labels: One label a sample.
        finder: How features are chosen and weighed.
        family: Directions are named `family:label`.
        task: `binary` or `multiclass`.
        groups: The source of each sample; no source is on both sides of a split.

    Raises:
        DictionaryError: The activations are of another dictionary, the labels are values, or no feature goes with one.
    """
    if read.source.get("dictionary") != dictionary_content(dictionary):
        raise DictionaryError("these activations were read with another dictionary; record_features them with this")
    if task == "regression":
        raise DictionaryError("features are found for classes; for values correlate them: mmsteer.sae.Correlation")
    (site,) = read.sites
    targets = encode(labels, task)
    z = check_states(read.values[site], len(targets.columns))
    split = split_by_source(targets, groups, finder.seed)
    train, columns = z[split.fitting], targets.columns[split.fitting]
    chosen = {label: _named(label, finder, train, columns[:, k], k) for k, label in enumerate(targets.labels)}
    line = fit_line(train, columns, _sums(chosen.values(), z.shape[1]))
    told = {label: list(one.features) for label, one in chosen.items()}
    settings = {"probe": "sae", **asdict(finder), "task": task, "chosen": told}
    fitted = judge(z, targets, split, line.directions, line, settings)
    # As for other probes, mean and spread are of what was read: pooled samples.
    used = Usage.of_samples(z, read.norms[site])
    directions = {}
    for label, one in chosen.items():
        name = f"{family}:{label}"
        found = combined_direction(dictionary, one.features, one.coefficients, used, name)
        directions[name] = _scored(found, fitted.label_scores[label], read, finder)
    return Sweep((Row(site, fitted.metric, fitted.score, fitted.label_scores),), directions, {site: fitted})


def _named(label: str, finder: FeatureFinder, z: Tensor, positive: Tensor, draw: int) -> Chosen:
    try:
        return finder.choose(z, positive, draw)
    except DictionaryError as cause:
        raise DictionaryError(f"{label}: {cause}") from None


def _sums(chosen: Iterable[Chosen], features: int) -> Tensor:
    """For each label the unit vector that is even over its features, (features, labels): it reads their sum."""
    columns = [torch.zeros(features).index_fill(0, torch.tensor(one.features), 1.0) for one in chosen]
    return torch.stack([column / column.norm() for column in columns], dim=1)


def _text(finder: FeatureFinder) -> dict[str, str]:
    return {"selector": finder.selector, "coefficient": finder.coefficient, "seed": str(finder.seed)}


def _scored(direction: Direction, score: float, read: Activations, finder: FeatureFinder) -> Direction:
    stats = {site: replace(one, score=score) for site, one in direction.stats.items()}
    provenance = {**direction.provenance, **read.provenance, **_text(finder)}
    return replace(direction, stats=stats, provenance=provenance, sketch=read.sketch)


def _chosen(one: TokenStates, positions: Positions) -> Tensor:
    """Hidden states of the chosen tokens less attention sinks, (tokens, width).

    Raises:
        PositionsError: There are none.
    """
    mask = one.pooled_over(positions)
    if not mask.any():
        raise PositionsError(f"the positions '{positions}' select no token of sample {one.sample.id!r}")
    return one.states[mask]
