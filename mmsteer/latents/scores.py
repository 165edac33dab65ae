"""Input and output scores: whether what activates a feature is what it promotes, and whether it promotes anything.

For a model with several heads every score is one number a head, and `maximum` and `mean` over them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.calibrate import calibrate
from mmsteer.errors import DictionaryError
from mmsteer.latents.maximal import Maximal
from mmsteer.latents.token_states import TokenStates, token_states
from mmsteer.latents.vocabulary import top_tokens
from mmsteer.sae import SparseDictionary
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Adapter, Direction, Positions, Reading, Sample, Score, SiteStats, paired_score

FACTOR = 10.0
"""How many times the largest activation of the state a feature is pushed by."""
STEERABLE = 0.01
"""The output score from which on a feature is worth steering."""
LEAST = 10
"""Fewer excerpts than these are no share."""

Judged = Callable[[Steering], Sequence[float | None]]
"""What an evaluator or a probe reads in each output under a steering; None where it cannot."""


@dataclass(frozen=True)
class FeatureScore:
    """A score of one feature.

    `heads`: one number a head; none where the feature could not be scored.
    `n`: excerpts or contexts behind each.
    """

    feature: int
    heads: tuple[float, ...]
    n: int

    @property
    def maximum(self) -> float | None:
        """Of the heads; None where the feature could not be scored."""
        return max(self.heads, default=None)

    @property
    def mean(self) -> float | None:
        """Over the heads; None where the feature could not be scored."""
        return sum(self.heads) / len(self.heads) if self.heads else None


def input_scores(
    adapter: Adapter, dictionary: SparseDictionary, found: Sequence[Maximal], *, count: int = 20, least: int = LEAST
) -> tuple[FeatureScore, ...]:
    """The share of top activating excerpts whose most active token is one that the feature promotes (S_in).

    A patch of a picture is no token of the vocabulary: an excerpt that peaks there is a miss.

    `dictionary`: A dictionary at a site of the stack that makes the output.
    `found`: the excerpts, from `maximal_moments`; the paper takes up to 100 a feature.
    `count`: how many tokens a feature promotes in each head.
    `least`: excerpts below which a feature is not scored.

    Source: Arad et al. 2025, arXiv:2505.20063, section 3, and its code.
    """
    promoted = top_tokens(adapter, dictionary, [one.feature for one in found], count=count)
    scores = []
    for one, tokens in zip(found, promoted, strict=True):
        given = torch.tensor([moment.tokens for moment in one.moments])
        hits = (given[:, :, None] == tokens).any(dim=-1).double() if len(given) >= max(least, 1) else given[:0]
        shares = tuple(hits.mean(dim=0).tolist()) if len(hits) else ()
        scores.append(FeatureScore(one.feature, shares, len(one.moments)))
    return tuple(scores)


def output_scores(
    adapter: Adapter,
    dictionary: SparseDictionary,
    features: Sequence[int],
    contexts: Sequence[Sample],
    *,
    factor: float = FACTOR,
    count: int = 20,
    batch: int = 32,
) -> tuple[FeatureScore, ...]:
    """How much a push along a feature brings up the tokens that it promotes (S_out), averaged over contexts.

    At the last state of a context that predicts output, z grows by `factor` times the largest activation of any feature
    there; what the dictionary misses is kept. With p the next-token distribution and T the promoted tokens, the score
    of a head is (1 - min rank of T in p / |V|) max of p over T. Every row of a batch pushes another feature.

    Args:
        adapter: The model.
        dictionary: A dictionary at a site of the stack that makes the output.
        features: Which features.
        contexts: Neutral prompts, or clips that break off; the paper has one, "From my experience,".
        factor: Strength of the push.
        count: How many tokens a feature promotes in each head.
        batch: Features a forward.

    Raises:
        DictionaryError: The dictionary does not belong to the model, no context is given, or nothing is active there.

    Source: Arad et al. 2025, arXiv:2505.20063, and its code, which takes the largest activation over all features.
    """
    if not contexts:
        raise DictionaryError("no context was given; a push is judged by what it makes of one or more")
    site = dictionary.located(adapter)
    promoted = top_tokens(adapter, dictionary, features, count=count)
    total = torch.zeros(promoted.shape[:2], dtype=torch.float64)
    for context in contexts:
        step = last_step(adapter, adapter.reading([context]))
        one = next(token_states(adapter, [context], site))
        largest = _largest(dictionary, one, step)
        pushes = [_push(adapter, dictionary, feature, factor * largest, step) for feature in features]
        for start in range(0, len(pushes), batch):
            some = slice(start, start + batch)
            p = _predicted(adapter, context, pushes[some], one.tokens.steps.tolist().index(step))
            total[some] += _reached(p, promoted[some])
    means = total / len(contexts)
    return tuple(
        FeatureScore(feature, tuple(row.tolist()), len(contexts)) for feature, row in zip(features, means, strict=True)
    )


def steerable(scores: Sequence[FeatureScore], threshold: float = STEERABLE) -> list[int]:
    """The features whose score reaches a threshold in some head, the best first.

    `scores`: output scores.
    `threshold`: least score.
    """
    kept = [(score.maximum, score.feature) for score in scores if score.maximum is not None]
    return [feature for value, feature in sorted(kept, reverse=True) if value >= threshold]


def dosed_effect(
    adapter: Adapter, steering: Steering, contexts: Sequence[Sample], judged: Judged, kl: float = 0.5, *, seed: int = 0
) -> tuple[float, Score]:
    """Output score without a head: how far a push of a fixed divergence moves what an evaluator or a probe reads.

    Args:
        adapter: The model.
        steering: The push, such as a feature's, with any strength.
        contexts: Where the divergence is measured.
        judged: Generates under a steering and judges each output, in the same order and with the same seeds.
        kl: Median divergence of the next token, in nats.
        seed: Seed of the bootstrap.

    Returns:
        The factor of the strengths, and the mean change with its interval.

    Raises:
        SteeringError: The divergence cannot be reached.
    """
    dose = calibrate(adapter, steering, contexts, kl, quantile=0.5)
    before, after = judged(Steering()), judged(steering.scaled(dose.factor))
    return dose.factor, paired_score(after, before, seed=seed)


def last_step(adapter: Adapter, reading: Reading) -> int:
    """The last step of a reading at which every head predicts output.

    `reading`: what `reading` returned.
    """
    if reading.call.steps is not None:
        return reading.call.steps - 1
    return adapter.tokens(reading).shape[1] - (reading.call.prompt or 1)


def _largest(dictionary: SparseDictionary, one: TokenStates, step: int) -> float:
    state = one.states[one.tokens.steps == step]
    largest = float(dictionary.encode(state.to(dictionary.decoder.device)).max())
    if not largest > 0:
        raise DictionaryError(
            f"{one.sample.id}: no feature is active at its last state, so there is no scale to push by; give another "
            "context"
        )
    return largest


def _push(adapter: Adapter, dictionary: SparseDictionary, feature: int, z: float, step: int) -> Steering:
    """More of a feature at one step, by z: its decoder row, as long as it is."""
    site = dictionary.located(adapter)
    length = float(dictionary.decoder[feature].norm())
    plain = Direction(
        f"sae:{feature}",
        {site: dictionary.direction(feature).cpu()},
        {site: SiteStats(None, 0.0, 0.0, 1.0)},
        adapter.fingerprint,
    )
    return Steering((Attribute(plain, z * length, positions=Positions(f"{step}..{step + 1}steps"), unit="absolute"),))


def _predicted(adapter: Adapter, context: Sample, pushes: Sequence[Steering], place: int) -> Tensor:
    """What follows one token under each push, probabilities (pushes, heads, vocabulary) float64."""
    reading = adapter.reading([context] * len(pushes))
    with steer(adapter, pushes) as session, session.call(reading.call):
        logits = adapter.read(reading)
    return logits[:, place].double().softmax(dim=-1).cpu()


def _reached(p: Tensor, promoted: Tensor) -> Tensor:
    """(1 - min rank / |V|) max p over promoted tokens, (pushes, heads)."""
    best = p.gather(-1, promoted).amax(dim=-1)
    rank = (p > best[..., None]).sum(dim=-1)
    return (1 - rank / p.shape[-1]) * best
