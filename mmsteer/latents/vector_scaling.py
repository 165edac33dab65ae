"""Where a vector that scales itself token by token is strong: a gate relu(h · w) that few tokens open."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmsteer.latents.token_states import TokenStates, token_states
from mmsteer.types import Adapter, Direction, Positions, Sample, Site


@dataclass(frozen=True)
class SiteScaling:
    """How the strength of one vector is spread over tokens.

    Attributes:
        site: Where it reads and is added.
        strongest: The tokens that open the gate most, with how far, largest first.
        held: The share of all strength that the `k` strongest tokens of each sample hold, mean over samples.
        even: The same share if all tokens were alike.
        first: The share that the first token holds.
        outputs: The share that tokens of the output hold.
        output_tokens: What part of the tokens they are.
    """

    site: Site
    strongest: tuple[tuple[str, float], ...]
    held: float
    even: float
    first: float
    outputs: float
    output_tokens: float


def read_scaling(
    adapter: Adapter,
    direction: Direction,
    contexts: Sequence[Sample],
    *,
    positions: Positions = Positions("all"),
    k: int = 8,
    count: int = 10,
) -> tuple[SiteScaling, ...]:
    """Read where a gated vector finds its concept.

    Args:
        adapter: The model.
        direction: Its vectors read as they are added: relu(h · w) for a unit vector w.
        contexts: Prompts with outputs.
        positions: The tokens that are steered.
        k: See `SiteScaling.held`.
        count: How many tokens to name.

    Source: Sinii et al. 2025, arXiv:2509.06608 (where token-wise scaling concentrates); the gate: ReFT-r1, Wu et al.
    2025, arXiv:2501.17148.
    """
    return tuple(_one(adapter, direction, site, contexts, positions, k, count) for site in direction.sites)


def _one(
    adapter: Adapter,
    direction: Direction,
    site: Site,
    contexts: Sequence[Sample],
    positions: Positions,
    k: int,
    count: int,
) -> SiteScaling:
    shares, named = [], []
    for one in token_states(adapter, contexts, site):
        chosen = one.chosen(positions)
        gate = (one.states @ direction.vectors[site].float()).relu() * chosen
        whole = float(gate.sum()) or 1.0
        written = one.chosen(Positions("generated")) & chosen
        size = max(1, int(chosen.sum()))
        shares.append(
            (
                float(gate.topk(min(k, len(gate))).values.sum()) / whole,
                min(1.0, k / size),
                float(gate[one.chosen(Positions("first"))].sum()) / whole,
                float(gate[written].sum()) / whole,
                float(written.sum()) / size,
            )
        )
        named += [(_name(adapter, one, at), float(gate[at])) for at in gate.argsort(descending=True)[:count].tolist()]
    held, even, first, outputs, output_tokens = (sum(some) / len(some) for some in zip(*shares, strict=True))
    strongest = tuple(sorted((pair for pair in named if pair[1] > 0), key=lambda pair: -pair[1])[:count])
    return SiteScaling(site, strongest, held, even, first, outputs, output_tokens)


def _name(adapter: Adapter, one: TokenStates, at: int) -> str:
    return " ".join(adapter.token_name(int(token)) for token in one.given[at])
