"""A concept direction: what a probe finds and steering injects."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mmsteer.errors import DirectionError
from mmsteer.types.adapter import Identified, likeness
from mmsteer.types.feature import Feature
from mmsteer.types.histogram import LogHistogram
from mmsteer.types.low_rank import LowRank
from mmsteer.types.site import Site
from mmsteer.types.sketch import COMPATIBILITIES, Sketch

UNIT_TOLERANCE = 1e-3
UNKNOWN = "unknown"
"""In the place of a fingerprint: nobody recorded in which model the direction was found."""


@dataclass(frozen=True)
class NormSpread:
    """How the norms of the hidden states at a site spread about their median, sinks left out.

    Attributes:
        low: 5 % of them are smaller.
        high: 95 % of them are smaller.
        tokens: How many there were.
    """

    low: float
    high: float
    tokens: int

    @classmethod
    def of(cls, norms: LogHistogram) -> "NormSpread":
        """The spread of counted norms.

        Args:
            norms: The norms.
        """
        return cls(norms.quantile(0.05), norms.quantile(0.95), norms.count)


@dataclass(frozen=True)
class SiteStats:
    """What the data said at one site.

    Attributes:
        score: The probe's held-out score there (AUC, accuracy or R²); None if it was not measured.
        mean: Mean of the projection of the data on the direction.
        spread: Standard deviation of the projection.
        residual_norm: Typical norm of the hidden state there; the unit of relative strength. 0 where it was not
            measured, as in files of other libraries.
        norms: What `residual_norm` is the median of. None where it is no median, as in files of earlier versions: they
            hold the mean over all tokens, which an attention sink makes several times as large as a usual token.
        length: Of a trained vector, its norm as it was trained; the unit `trained`. None for a direction that was read.
    """

    score: float | None
    mean: float
    spread: float
    residual_norm: float
    norms: NormSpread | None = None
    length: float | None = None

    @classmethod
    def of(
        cls, score: float | None, projection: Tensor, norms: LogHistogram, length: float | None = None
    ) -> "SiteStats":
        """The statistics of data at a site.

        Args:
            score: The held-out score.
            projection: Of the data on the direction.
            norms: Of the tokens there.
            length: Of a trained vector.
        """
        spread = NormSpread.of(norms)
        return cls(score, float(projection.mean()), float(projection.std()), norms.median, spread, length)


@dataclass(frozen=True, eq=False)
class Direction:
    """A unit vector per site, where it was read, and where it came from.

    Where it came from, and in which other models it may be used, is no part of its `content_digest`.

    The site a direction was read at is the site it is written at. In a stack that always sees the same number of
    tokens, such as a vision tower of fixed resolution, a site may hold one vector for each token instead.

    Attributes:
        name: `family:label`, such as `note:C`.
        vectors: For each site a unit vector, (width,) float32, or one for each token, (tokens, width). A row of
            zeros leaves its token alone.
        stats: For each site the scale of the data.
        model: Fingerprint of the model it was found in; `UNKNOWN` where nobody recorded it, so that no model is known
            to be more like it than `dimension`.
        provenance: How it was found: probe and settings, data fingerprint, positions, pooling.
        features: For the direction of a dictionary's feature, how its activation is read at each site. Operators and
            gates that look at the state then see the activation instead of the component along the vector. Empty for
            any other direction.
        sketch: What other models are compared with that model by; None where it is not known.
        compatibility: How alike a model must be that it is used in: `exact`, the same weights, whatever their precision
            or place; `architecture`, weights of the same names and shapes, such as a fine-tune's; or `dimension`, the
            same sites of the same widths.
        edits: For a trained low-rank edit, what is done at each site in place of adding a vector; the vectors then say
            what that adds on average. Empty for any other direction.
    """

    name: str
    vectors: Mapping[Site, Tensor]
    stats: Mapping[Site, SiteStats]
    model: str
    provenance: Mapping[str, str] = field(default_factory=dict, compare=False)
    features: Mapping[Site, Feature] = field(default_factory=dict)
    sketch: Sketch | None = field(default=None, compare=False)
    compatibility: str = field(default="exact", compare=False)
    edits: Mapping[Site, LowRank] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.compatibility not in COMPATIBILITIES:
            raise DirectionError(f"no compatibility {self.compatibility!r}; choose from {', '.join(COMPATIBILITIES)}")
        if not self.name.strip() or '"' in self.name or "\n" in self.name:
            raise DirectionError(
                f"{self.name!r} cannot be the name of a direction: it must have a character, and neither a double "
                "quote nor a line break, or no steering line could name it"
            )
        if not self.vectors:
            raise DirectionError(f"direction {self.name!r} has no sites")
        if self.vectors.keys() != self.stats.keys():
            raise DirectionError(f"direction {self.name!r}: vectors and statistics name different sites")
        for site, vector in self.vectors.items():
            _check_unit(self.name, site, vector)
        if self.features:
            self._check_features()
        if self.edits:
            self._check_edits()

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites, in the order of the model's layers."""
        return tuple(sorted(self.vectors))

    @property
    def is_measured(self) -> bool:
        """Whether the typical norm at every site is known."""
        return all(stats.residual_norm > 0 for stats in self.stats.values())

    def _check_features(self) -> None:
        if self.features.keys() != self.vectors.keys():
            raise DirectionError(f"direction {self.name!r}: vectors and features name different sites")
        for site, feature in self.features.items():
            if feature.encoder.shape != self.vectors[site].shape:
                raise DirectionError(
                    f"direction {self.name!r} at {site}: an encoder of {tuple(feature.encoder.shape)} beside a vector "
                    f"of {tuple(self.vectors[site].shape)}"
                )

    def _check_edits(self) -> None:
        shapes = {site: edit.read.shape[1:] for site, edit in self.edits.items()}
        if shapes != {site: vector.shape for site, vector in self.vectors.items()} or self.features:
            raise DirectionError(
                f"direction {self.name!r}: an edit belongs to each site and is as wide as its vector, and is not read "
                "as a feature"
            )

    def check_model(self, model: Identified) -> str:
        """Refuse a model that is less like the one this direction was found in than its compatibility asks for.

        Args:
            model: The model.

        Returns:
            How alike they are: the strictest of `exact`, `architecture` and `dimension` that holds.

        Raises:
            DirectionError: The model is too different.
        """
        for site, vector in self.vectors.items():
            if model.widths.get(site) != vector.shape[-1]:
                have = f"width {model.widths[site]}" if site in model.widths else "no such site"
                raise DirectionError(
                    f"direction {self.name!r} writes {vector.shape[-1]} numbers at {site}, where this model has "
                    f"{have}; it was found in another model, so fit it again on this one"
                )
        level = likeness(self.model, self.sketch, model)
        if COMPATIBILITIES.index(level) > COMPATIBILITIES.index(self.compatibility):
            unknown = "" if self.sketch else ", and what its architecture was is not known"
            raise DirectionError(
                f"direction {self.name!r} was found in model {self.model}, this model is {model.fingerprint}{unknown}; "
                f"fit it again on this one, or accept it with compatibility={level!r}"
            )
        return level


def random_direction(like: Direction, seed: int) -> Direction:
    """A random direction with the sites, shapes and scales of another: the control of equal norm.

    Args:
        like: The direction to stand beside.
        seed: Seed of the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    vectors = {}
    for site in like.sites:
        other = like.vectors[site]
        draw = torch.randn(other.shape, generator=generator)
        # A token that the other leaves alone is left alone here, too.
        vectors[site] = draw / draw.norm(dim=-1, keepdim=True) * (other != 0).any(dim=-1, keepdim=True)
    provenance = {"probe": "random", "seed": str(seed), "like": like.name}
    # A clamp depends on what is read: the control reads the same, and writes elsewhere.
    return replace(like, name=f"random:{seed}", vectors=vectors, edits={}, provenance=provenance)


def _check_unit(name: str, site: Site, vector: Tensor) -> None:
    if vector.ndim not in (1, 2) or vector.dtype != torch.float32:
        raise DirectionError(
            f"direction {name!r} at {site}: expected (width,) or (tokens, width) float32, "
            f"got {tuple(vector.shape)} {vector.dtype}"
        )
    norms = vector.norm(dim=-1).reshape(-1)
    # A vector that stands alone is never zero; negated, so that NaN is refused as well.
    fit = ((norms - 1).abs() <= UNIT_TOLERANCE) | ((norms == 0) & (vector.ndim == 2))
    if not (fit.all() and norms.any()):
        worst = norms[~fit] if not fit.all() else norms
        raise DirectionError(f"direction {name!r} at {site}: the norm is {float(worst[0]):g}, not 1")
