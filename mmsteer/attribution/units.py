"""What an output is attributed to: parts of a forward, each of which can be taken away by degrees.

The share of a unit is 1 where it is as the model made it, and 0 where a baseline stands in its place. A forward of many
rows holds the same sample in each, with shares of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

import torch
from torch import Tensor

from mmsteer import hooks
from mmsteer.attribution.baselines import Baseline, base_at, check_baseline, moved, places_of, resampled
from mmsteer.errors import AttributionError
from mmsteer.sae import SparseDictionary
from mmsteer.schedules import Constant
from mmsteer.steering import Attribute, Steering
from mmsteer.steering.plan import length
from mmsteer.types import Adapter, Positions, Sample, Site, Tokens, select_sites

Shown = Callable[[], Tokens]
"""What the tokens of the forward that runs are."""


class Units(Protocol):
    """Parts of a forward."""

    are_states: ClassVar[bool]
    """Whether each is a state that has a gradient, as `StateUnits` are, and not a direction."""

    @property
    def kind(self) -> str:
        """What they are: `tokens`, `components`, `features` or `vectors`."""

    def names(self, adapter: Adapter, tokens: Tokens, ids: Tensor) -> tuple[str, ...]:
        """One name a unit.

        Args:
            adapter: The model.
            tokens: Of the sample, one row.
            ids: The tokens themselves, (tokens, vocabularies); those of a prefix have none.
        """

    def edits(self, adapter: Adapter, shares: Tensor, shown: Shown) -> Mapping[Site, hooks.Edit]:
        """What has to be done to hidden states.

        Args:
            adapter: The model.
            shares: (rows, units), with a graph where gradients are asked for.
            shown: What the tokens of the forward are.
        """


class StateUnits(Units, Protocol):
    """Parts of a forward that are states."""

    def sizes(self, adapter: Adapter, slopes: Mapping[Site, Tensor], tokens: Tokens) -> Tensor:
        """The norm of a gradient in the state of each unit, (units,): plain saliency.

        Args:
            adapter: The model.
            slopes: The gradient in the hidden states of the sites that are edited, (1, tokens, width).
            tokens: Of the sample.
        """


@dataclass(frozen=True)
class TokenUnits:
    """Tokens of the input, or patches of an image, each where it enters the first layer.

    Attributes:
        positions: Which tokens; each is a unit. The first token is usually an attention sink: without it a model says
            nothing of sense, so it stays.
        baseline: What stands in the place of one: `zero`, which a norm that follows turns into a bend that gradients
            follow badly, the `mean` of these tokens, or what another sample has there (`resampled`).
    """

    positions: Positions = Positions("prompt - first")
    baseline: Baseline = "mean"
    kind: ClassVar[str] = "tokens"
    are_states: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_baseline(self.baseline)

    def names(self, adapter: Adapter, tokens: Tokens, ids: Tensor) -> tuple[str, ...]:
        """See `Units.names`.

        Raises:
            AttributionError: The positions select no token.
        """
        places = places_of(self.positions, tokens)
        if not len(places):
            raise AttributionError(f"the positions '{self.positions}' select no token of this sample")
        prefix = tokens.kinds.shape[1] - len(ids)
        return tuple(
            " ".join(adapter.token_name(int(one)) for one in ids[at - prefix]) if at >= prefix else f"prefix {at}"
            for at in places.tolist()
        )

    def edits(self, adapter: Adapter, shares: Tensor, shown: Shown) -> Mapping[Site, hooks.Edit]:
        """See `Units.edits`."""
        site = entrance(adapter)

        def edit(hidden: Tensor) -> Tensor:
            return moved(hidden, self.positions, shown(), shares[:, :, None], base_at(self.baseline, site))

        return {site: edit}

    def sizes(self, adapter: Adapter, slopes: Mapping[Site, Tensor], tokens: Tokens) -> Tensor:
        """See `StateUnits.sizes`."""
        (slope,) = slopes.values()
        return slope[0, places_of(self.positions, tokens).to(slope.device)].float().norm(dim=-1)

    def resampled(self, adapter: Adapter, other: Sample) -> Self:
        """These units with another sample as the baseline: resample ablation, and patching from it.

        Args:
            adapter: The model.
            other: Such as another prompt, or another image.

        Raises:
            AttributionError: The other sample has none of these tokens.
        """
        return replace(self, baseline=resampled(adapter, other, (entrance(adapter),), self.positions))


@dataclass(frozen=True)
class FrameUnits(TokenUnits):
    """Frames of a clip where the decoder takes them in again: what the rest of the clip owes to each.

    A frame is a token of the decoder: the first codebook of that moment, and of each further one the code of a frame
    earlier.

    Attributes:
        positions: Which tokens; each is a frame.
        baseline: See `TokenUnits`.
    """

    positions: Positions = Positions("generated")
    kind: ClassVar[str] = "frames"

    def names(self, adapter: Adapter, tokens: Tokens, ids: Tensor) -> tuple[str, ...]:
        """When each frame begins, in seconds.

        Raises:
            AttributionError: The output has no duration, or the positions select no frame.
        """
        if tokens.rate is None:
            raise AttributionError("frames are of clips, and this model's output has no duration; take tokens")
        super().names(adapter, tokens, ids)
        # A token predicts the step behind the frame that it holds.
        return tuple(f"{(int(tokens.steps[at]) - 1) / tokens.rate:.3f} s" for at in places_of(self.positions, tokens))


@dataclass(frozen=True)
class ComponentUnits:
    """What parts of the blocks write: MLPs, attentions, heads; each site is a unit.

    Attributes:
        sites: A pattern such as `text.*.mlp`, `text.*.attention` or `text.12.head.*`.
        baseline: What stands in the place of one: `zero`, the `mean` over these tokens, or what it writes in another
            sample (`resampled`).
        positions: At which tokens it is taken away; not at the first, which is usually an attention sink.
    """

    sites: str
    baseline: Baseline = "mean"
    positions: Positions = Positions("all - first")
    kind: ClassVar[str] = "components"
    are_states: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_baseline(self.baseline)

    def chosen(self, adapter: Adapter) -> tuple[Site, ...]:
        """The sites, in the order of the layers.

        Args:
            adapter: The model.

        Raises:
            AttributionError: A whole block is no part of one.
        """
        sites = tuple(select_sites(self.sites, tuple(adapter.widths)))
        whole = [str(site) for site in sites if site.point in ("block", "mid", "embedding")]
        if whole:
            raise AttributionError(
                f"{whole[0]} is the residual stream, and without it nothing is left; name what is written to it, such "
                f"as {sites[0].stack}.*.mlp, {sites[0].stack}.*.attention or {sites[0].stack}.*.head.*"
            )
        return sites

    def names(self, adapter: Adapter, tokens: Tokens, ids: Tensor) -> tuple[str, ...]:
        """See `Units.names`."""
        del tokens, ids
        return tuple(map(str, self.chosen(adapter)))

    def edits(self, adapter: Adapter, shares: Tensor, shown: Shown) -> Mapping[Site, hooks.Edit]:
        """See `Units.edits`."""

        def edit(at: int, site: Site) -> hooks.Edit:
            base, share = base_at(self.baseline, site), shares[:, at, None, None]
            return lambda hidden: moved(hidden, self.positions, shown(), share, base)

        return {site: edit(at, site) for at, site in enumerate(self.chosen(adapter))}

    def sizes(self, adapter: Adapter, slopes: Mapping[Site, Tensor], tokens: Tokens) -> Tensor:
        """See `StateUnits.sizes`; over all tokens at which a component is taken away."""
        places = places_of(self.positions, tokens)
        each = [slopes[site][0, places.to(slopes[site].device)] for site in self.chosen(adapter)]
        return torch.stack([slope.float().norm().cpu() for slope in each])

    def resampled(self, adapter: Adapter, other: Sample) -> Self:
        """See `TokenUnits.resampled`; of the output, too, where the positions choose tokens of it.

        Args:
            adapter: The model.
            other: Another prompt, with its output.

        Raises:
            AttributionError: The other sample has none of these tokens.
        """
        return replace(self, baseline=resampled(adapter, other, self.chosen(adapter), self.positions))


@dataclass(frozen=True, eq=False)
class FeatureUnits:
    """Features of a dictionary, at every token; what the dictionary misses stays.

    Attributes:
        dictionary: One that knows its site.
        features: Their numbers.
    """

    dictionary: SparseDictionary
    features: tuple[int, ...]
    kind: ClassVar[str] = "features"
    are_states: ClassVar[bool] = False

    def names(self, adapter: Adapter, tokens: Tokens, ids: Tensor) -> tuple[str, ...]:
        """See `Units.names`.

        Raises:
            AttributionError: The dictionary has no such feature.
        """
        del adapter, tokens, ids
        strange = [one for one in self.features if not 0 <= one < self.dictionary.features]
        if strange:
            raise AttributionError(
                f"no feature {strange[0]}: they are numbered from 0 to {self.dictionary.features - 1}"
            )
        return tuple(f"feature {one}" for one in self.features)

    def edits(self, adapter: Adapter, shares: Tensor, shown: Shown) -> Mapping[Site, hooks.Edit]:
        """See `Units.edits`."""
        del shown
        chosen = list(self.features)

        def edit(hidden: Tensor) -> Tensor:
            dictionary = self.dictionary.to(hidden.device)
            found = dictionary.encode(hidden)[..., chosen]
            lost = (1 - shares.to(found))[:, None] * found
            return (hidden.float() - lost @ dictionary.decoder[chosen]).to(hidden.dtype)

        return {self.dictionary.located(adapter): edit}


@dataclass(frozen=True)
class VectorUnits:
    """The additions of a steering, each at all of its sites; without them the model is unsteered.

    Attributes:
        steering: Pushes whose strength does not change over time.
    """

    steering: Steering
    kind: ClassVar[str] = "vectors"
    are_states: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.steering.compose != "sum" or self.steering.budget:
            raise AttributionError("attributed are additions as they are, which are not composed and have no budget")
        strange = [str(item) for item in self.steering.attributes if not _is_plain(item)]
        if strange or not self.steering.attributes:
            raise AttributionError(
                f"{strange[0] if strange else 'no steering'}: attributed are additions of vectors at a strength that "
                "does not change over time, without a gate, in a unit that does not depend on the token, and not to "
                "the null branch alone"
            )

    def names(self, adapter: Adapter, tokens: Tokens, ids: Tensor) -> tuple[str, ...]:
        """See `Units.names`."""
        del adapter, tokens, ids
        return tuple(str(item) for item in self.steering.attributes)

    def edits(self, adapter: Adapter, shares: Tensor, shown: Shown) -> Mapping[Site, hooks.Edit]:
        """See `Units.edits`."""
        items = self.steering.attributes
        sites = dict.fromkeys(site for item in items for site in item.written)

        def edit(site: Site) -> hooks.Edit:
            def edited(hidden: Tensor) -> Tensor:
                for at, item in enumerate(items):
                    if site in item.written:
                        push = item.strength * length(item, site) * item.direction.vectors[site].to(hidden)
                        mask = item.positions.mask(shown()).to(hidden)
                        hidden = hidden + shares.to(hidden)[:, at, None, None] * mask[..., None] * push
                return hidden

            return edited

        return {site: edit(site) for site in sites}


def entrance(adapter: Adapter) -> Site:
    """Where tokens enter the stack that makes the output.

    Raises:
        AttributionError: The model has no such site.
    """
    found = [site for site in adapter.widths if site.stack == adapter.generator and site.point == "embedding"]
    if not found:
        raise AttributionError(f"where tokens enter {adapter.generator} is not known in this model")
    return found[0]


def _is_plain(item: Attribute) -> bool:
    return (
        item.operator == "add"
        and item.gate is None
        and item.unit != "token"
        and item.branch != "null"
        and item.schedule == Constant(1.0)
        and all(vector.ndim == 1 for vector in item.direction.vectors.values())
    )
