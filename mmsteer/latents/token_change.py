"""What a feature does to the output: the change of every token's logit when the feature is set."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.latents.token_states import token_states
from mmsteer.latents.vocabulary import Ranking, rankings
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import OUTPUT, Adapter, Direction, Sample


@dataclass(frozen=True)
class TokenChange:
    """Tokens whose logits a direction moves most.

    Attributes:
        name: The direction's name, such as `sae:12`.
        amount: What it was set to, and to the negative of.
        raised: One ranking a head: mean change when set to the amount.
        lowered: The same when set to the negative.
    """

    name: str
    amount: float
    raised: tuple[Ranking, ...]
    lowered: tuple[Ranking, ...]


def token_change(
    adapter: Adapter,
    direction: Direction,
    contexts: Sequence[Sample],
    amount: float = 10.0,
    *,
    operator: str = "clamp",
    count: int = 10,
) -> TokenChange:
    """Set a feature at every token of some contexts, and see which logits move most.

    It works for any direction and any head. The change is the mean over all contexts' tokens that predict output; the
    contexts' own tokens stay, so it is the effect of one step.

    Args:
        adapter: The model.
        direction: The direction of a feature, from `feature_direction`, or any other.
        contexts: Texts, answers or clips; the paper has 32 random texts of 32 tokens.
        amount: What to set it to, in lengths of the hidden state.
        operator: What a strength means to it; the paper clamps.
        count: Tokens at either end of each head.

    Raises:
        DictionaryError: No context is given.

    Source: TokenChange in Gur-Arieh et al. 2025, arXiv:2501.08319.
    """
    if not contexts:
        raise DictionaryError("no context was given; a change is measured on one or more")
    raised, lowered = (
        rankings(adapter, mean_change(adapter, _set(direction, signed, operator), contexts), count)
        for signed in (amount, -amount)
    )
    return TokenChange(direction.name, amount, raised, lowered)


def mean_change(adapter: Adapter, steering: Steering, contexts: Sequence[Sample]) -> Tensor:
    """Mean change of every logit over the tokens that predict output, (heads, vocabulary) float64."""
    reading = adapter.reading(contexts)
    site = next(site for site in adapter.sites if site.stack == adapter.generator)
    counts = torch.stack([one.chosen(OUTPUT) for one in token_states(adapter, contexts, site, batch=len(contexts))])
    plain = adapter.read(reading)
    with steer(adapter, steering) as session, session.call(reading.call):
        changed = adapter.read(reading)
    return (changed.double() - plain.double())[counts.to(plain.device)].mean(dim=0).cpu()


def _set(direction: Direction, amount: float, operator: str) -> Steering:
    return Steering((Attribute(direction, amount, operator=operator, unit="absolute"),))
