"""What is known of a feature, put together: excerpts that activate it, and tokens that it brings up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.maximal import Maximal, Moment
from mmsteer.latents.token_change import TokenChange
from mmsteer.latents.token_states import TokenStates, token_states
from mmsteer.latents.vocabulary import Ranking, Vocabulary
from mmsteer.sae import SparseDictionary
from mmsteer.types import Adapter, Sample

LEVELS = 10


@dataclass(frozen=True)
class Excerpt:
    """The surroundings of a top activating moment.

    `words`: what the model was given at each token.
    `levels`: activation of each token, 0 to 10; 10 is the feature's largest.
    """

    sample: str
    words: tuple[str, ...]
    levels: tuple[int, ...]

    def __str__(self) -> str:
        return " ".join(
            f"{word} ({level})" if level else word for word, level in zip(self.words, self.levels, strict=True)
        )


@dataclass(frozen=True)
class Evidence:
    """Evidence of a feature; an ensemble where it has more than one kind (Gur-Arieh et al. 2025, arXiv:2501.08319)."""

    feature: int
    vocabulary: Vocabulary | None = None
    change: TokenChange | None = None
    maximal: Maximal | None = None
    excerpts: tuple[Excerpt, ...] = ()

    def __or__(self, other: "Evidence") -> "Evidence":
        """Both together: an ensemble.

        Raises:
            DictionaryError: They are of different features.
        """
        if other.feature != self.feature:
            raise DictionaryError(f"evidence of feature {other.feature} says nothing of feature {self.feature}")
        return Evidence(
            self.feature,
            self.vocabulary or other.vocabulary,
            self.change or other.change,
            self.maximal or other.maximal,
            self.excerpts or other.excerpts,
        )

    def words(self, count: int = 10) -> tuple[str, ...]:
        """Names of the tokens that the evidence speaks of, each once: those it promotes, raises, and is active on."""
        rankings: list[Ranking] = []
        rankings += self.vocabulary.heads if self.vocabulary else ()
        rankings += self.change.raised if self.change else ()
        names = [entry.name for ranking in rankings for entry in ranking.top[:count]]
        names += [moment.words for moment in self.maximal.moments[:count]] if self.maximal else []
        return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))

    def __str__(self) -> str:
        """The evidence in words, for whoever is asked to describe the feature."""
        parts = []
        if self.vocabulary:
            parts.append(f"Its direction promotes: {_named(self.vocabulary.heads)}.")
        if self.change:
            parts.append(f"Setting it raises: {_named(self.change.raised)}.")
        if self.excerpts:
            parts.append("It is most active in:\n" + "\n".join(f"- {one}" for one in self.excerpts))
        return "\n".join(parts)


def excerpts(
    adapter: Adapter, dictionary: SparseDictionary, samples: Sequence[Sample], found: Maximal, *, around: int = 8
) -> tuple[Excerpt, ...]:
    """The tokens around the top activating moments of a feature, with how active it is at each.

    `found`: from `maximal_moments`.

    Raises:
        DictionaryError: A moment's sample is not among them.

    Source: MaxAct in Gur-Arieh et al. 2025, arXiv:2501.08319: activations scaled to 0 to 10.
    """
    site = dictionary.located(adapter)
    known = {sample.id: sample for sample in samples}
    missing = [moment.sample for moment in found.moments if moment.sample not in known]
    if missing:
        raise DictionaryError(f"sample {missing[0]!r} is not among those that were given; give all that were read")
    wanted = [known[moment.sample] for moment in found.moments]
    read = token_states(adapter, wanted, site)
    return tuple(
        _excerpt(adapter, dictionary, one.unpadded(), moment, found, around)
        for one, moment in zip(read, found.moments, strict=True)
    )


def label_lift(
    found: Maximal, labels: Mapping[str, Mapping[str, str]], *, count: int = 10
) -> list[tuple[str, str, float]]:
    """What labelled samples that activate a feature have in common: the description of a feature that has no words.

    Args:
        found: From `maximal_moments` on the labelled samples.
        labels: For each sample's name its attributes, such as `{"register": "high"}`.
        count: Moments that are looked at.

    Returns:
        Attribute, value, and how much more frequent the value is among the moments than among all samples; the most
        first.
    """
    top = [labels[moment.sample] for moment in found.moments[:count]]
    pairs = {pair for one in top for pair in one.items()}
    lifts = [(*pair, _share(top, pair) - _share(list(labels.values()), pair)) for pair in pairs]
    return sorted(lifts, key=lambda lift: (-lift[2], lift[:2]))


def _share(some: Sequence[Mapping[str, str]], pair: tuple[str, str]) -> float:
    return sum(pair in one.items() for one in some) / len(some)


def _excerpt(
    adapter: Adapter, dictionary: SparseDictionary, one: TokenStates, moment: Moment, found: Maximal, around: int
) -> Excerpt:
    z = dictionary.encode(one.states)[:, found.feature]
    kept = list(range(max(0, moment.place - around), min(len(z), moment.place + around + 1)))
    # The first token may exceed the largest: it was not looked at.
    levels = torch.round(LEVELS * z[kept] / found.moments[0].activation).clamp(max=LEVELS).int()
    words = [" ".join(adapter.token_name(int(token)) for token in one.given[place]) for place in kept]
    return Excerpt(one.sample.id, tuple(words), tuple(levels.tolist()))


def _named(heads: Sequence[Ranking]) -> str:
    several = [", ".join(entry.name for entry in head.top) for head in heads]
    return several[0] if len(several) == 1 else "; ".join(f"codebook {k}: {names}" for k, names in enumerate(several))
