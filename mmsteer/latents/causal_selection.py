"""Features chosen by what adding them does to captions, and not by what they go with.

What a feature goes with is not what it does: the one that separates wrong mentions best may do nothing when it is
added, or the opposite of what its sign suggests. So candidates are added with both signs while captions of some images
are written, the best are tried at several strengths on more of them, and what is reported comes from other images.
CHAIR alone would take any feature that makes captions name less; so questions are asked, too, and decide in the end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mmsteer.adapters import AnyAdapter
from mmsteer.errors import DictionaryError
from mmsteer.eval.chair import ChairScore
from mmsteer.latents.controls import random_features
from mmsteer.latents.hallucination import answers
from mmsteer.latents.object_mentions import BATCH, Mentions, Pictures, caption, captions_under, score_captions
from mmsteer.sae import SELECTORS, SparseDictionary, Usage, feature_direction
from mmsteer.steering import Attribute, Steering
from mmsteer.types import OUTPUT, Direction, random_direction

ASKED = 6
"""Pushes that questions decide between."""
CONTROLS = 4
"""Random features: one may by chance do what was looked for."""


@dataclass(frozen=True, eq=False)
class Tried:
    """A feature at a strength, on the images to choose by.

    `strength`: share of each token's own norm; below zero against the feature.
    `pope`: accuracy of the answers; None where nothing was asked.
    """

    feature: int
    strength: float
    chair: ChairScore
    pope: float | None = None

    def row(self) -> dict[str, object]:
        """The numbers that a table shows."""
        told = {name: self.chair.scores[name].value for name in ("chair_i", "chair_s", "recall", "length")}
        return {"feature": self.feature, "strength": self.strength, **told, "pope": self.pope}


def likely_features(mentions: Mentions, dictionary: SparseDictionary, count: int) -> list[int]:
    """Features worth trying: half separate wrong mentions best, half are the largest parts of these states.

    `count`: how many, at most.
    """
    telling = SELECTORS["auroc"](mentions.z, mentions.wrong).abs()
    large = mentions.used.mean * dictionary.decoder.norm(dim=1)
    first = telling.topk(min(count // 2, len(telling))).indices.tolist()
    rest = [one for one in large.argsort(descending=True).tolist() if one not in first and large[one] > 0]
    return [*first, *rest[: count - len(first)]]


def pushed_words(direction: Direction, strength: float) -> Steering:
    """A direction added to the states that make words.

    `strength`: share of each token's own norm.
    """
    return Steering((Attribute(direction, strength, positions=OUTPUT, unit="token"),))


def try_features(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    used: Usage,
    shown: Pictures,
    pairs: Sequence[tuple[int, float]],
    say: Callable[[str], None] = lambda _: None,
) -> list[Tried]:
    """CHAIR of captions under each of some features and strengths; several share a batch."""
    tried = []
    steerings = [pushed_words(feature_direction(dictionary, one, used), strength) for one, strength in pairs]
    at_once = max(1, 3 * BATCH // len(shown))
    for start in range(0, len(pairs), at_once):
        say(f"Trying features on {len(shown)} images: {start} of {len(pairs)}")
        some = slice(start, start + at_once)
        made = captions_under(adapter, shown, steerings[some])
        for (feature, strength), captions in zip(pairs[some], made, strict=True):
            tried.append(Tried(feature, strength, score_captions(shown, captions)))
    return tried


def best(tried: Sequence[Tried], least_recall: float, count: int = 1) -> list[Tried]:
    """Those that name the least that is not there, among those that keep the recall.

    Raises:
        DictionaryError: None keeps it.
    """
    kept = [one for one in tried if (one.chair.recall.value or 0) >= least_recall]
    if not kept:
        raise DictionaryError(
            f"none of {len(tried)} pushes keeps a recall of {least_recall:.2f}; give smaller strengths, or more "
            "candidates"
        )
    return sorted(kept, key=lambda one: 1.0 if one.chair.chair_i.value is None else one.chair.chair_i.value)[:count]


def choose_by_effect(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    used: Usage,
    shown: Pictures,
    features: Sequence[int],
    *,
    strengths: Sequence[float] = (-0.2, -0.1, 0.1, 0.2),
    keep: float = 0.97,
    finalists: int = 4,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Tried, list[Tried]]:
    """The feature and strength that answer questions best, of those with the least CHAIR_i that keep the recall.

    Every feature is tried at the outermost strengths on a third of the images, and the best at all strengths on all;
    the best of these are asked POPE's questions.

    Args:
        adapter: The model.
        dictionary: The dictionary.
        used: How its features are used.
        shown: The images to choose by.
        features: The candidates.
        strengths: Shares of a token's own norm, of both signs.
        keep: Least share of the unsteered recall.
        finalists: How many reach the second round.
        say: Called with the progress, in words.

    Returns:
        The chosen one, and those that were asked.
    """
    few = shown.first(max(1, len(shown) // 3))
    outer = sorted({min(strengths), max(strengths)})
    first = try_features(adapter, dictionary, used, few, [(one, by) for one in features for by in outer], say)
    left = best(first, keep * _plain_recall(adapter, few), finalists)
    names = list(dict.fromkeys(one.feature for one in left))
    second = try_features(adapter, dictionary, used, shown, [(one, by) for one in names for by in strengths], say)
    last = best(second, keep * _plain_recall(adapter, shown), ASKED)
    asked = [_asked(adapter, dictionary, used, shown, one, say) for one in last]
    return max(asked, key=lambda one: one.pope or 0.0), asked


def effect_conditions(dictionary: SparseDictionary, used: Usage, chosen: Tried, seed: int = 0) -> dict[str, Steering]:
    """The chosen push, and as strong ones along random features and a random direction."""
    direction = feature_direction(dictionary, chosen.feature, used)
    others = random_features(used, CONTROLS, without=[chosen.feature], seed=seed)
    told = {f"feature {chosen.feature} at {chosen.strength:g} own": direction}
    told |= {f"random feature {one}, as strong": feature_direction(dictionary, one, used) for one in others}
    told["random direction, as strong"] = random_direction(direction, seed)
    return {name: pushed_words(one, chosen.strength) for name, one in told.items()}


def _asked(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    used: Usage,
    shown: Pictures,
    one: Tried,
    say: Callable[[str], None],
) -> Tried:
    say(f"Asking about {len(shown)} images under feature {one.feature} at {one.strength:g}")
    steering = pushed_words(feature_direction(dictionary, one.feature, used), one.strength)
    return replace(one, pope=answers(adapter, shown, steering).accuracy.value)


def _plain_recall(adapter: AnyAdapter, shown: Pictures) -> float:
    return score_captions(shown, caption(adapter, shown)).recall.value or 0.0
