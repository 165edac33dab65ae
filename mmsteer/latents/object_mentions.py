"""Objects that captions name, the states in which they are named, and detectors of wrong mentions on these."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from mmsteer.adapters import AnyAdapter
from mmsteer.errors import DataError, DictionaryError
from mmsteer.eval.chair import Chair, ChairRow, ChairScore
from mmsteer.latents.controls import at_maximum
from mmsteer.latents.detection import Detection, compare_detectors, detect, ridge_logistic
from mmsteer.latents.pooling import POOLS
from mmsteer.latents.token_states import TokenStates, token_states
from mmsteer.sae import SparseDictionary, Usage, usage
from mmsteer.steering import Steering, steer
from mmsteer.tasks import Row
from mmsteer.types import Kind, Positions, Sample, Sampling

Moment = Literal["named", "before"]
MOMENTS: Mapping[Moment, str] = MappingProxyType({"named": "at the mention", "before": "at the token before"})
BATCH = 32


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images whose objects are known, and how they are described.

    `samples`: the images with the prompt for a caption, named by their place.
    """

    samples: tuple[Sample, ...]
    objects: tuple[frozenset[str], ...]
    sampling: Sampling

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def truth(self) -> dict[str, frozenset[str]]:
        """What each image shows, by the name of its sample."""
        return {one.id: objects for one, objects in zip(self.samples, self.objects, strict=True)}

    def first(self, count: int) -> "Pictures":
        """The first few."""
        return replace(self, samples=self.samples[:count], objects=self.objects[:count])


def check_pictures(rows: Sequence[Row]) -> None:
    """Refuse rows without an image, or whose objects are not known.

    Raises:
        DataError: A row lacks one of them.
    """
    for row in rows:
        missing = "image" if not row.images else "objects" if row.objects is None else None
        if missing:
            raise DataError(
                f"{row.place}: the row has no {missing!r}; captions are held against the `objects` of the row's image"
            )


def pictures(rows: Sequence[Row], adapter: AnyAdapter, sampling: Sampling) -> Pictures:
    """The images of rows, read once.

    `rows`: rows with an image, its objects, and the prompt for a caption.

    Raises:
        DataError: The model sees no images.
    """
    check_pictures(rows)
    samples = tuple(replace(row.sample(adapter), id=str(at)) for at, row in enumerate(rows))
    return Pictures(samples, tuple(row.objects or frozenset() for row in rows), sampling)


@dataclass(frozen=True, eq=False)
class Mentions:
    """Objects that captions name, and the states in which they were named.

    Attributes:
        z: Activations pooled over the tokens of each mention, (n, features).
        states: Mean hidden states of the same tokens, (n, width).
        wrong: Whether the object is not there, (n,) bool.
        objects: The object of each mention.
        used: How the features are used at these tokens.
    """

    z: Tensor
    states: Tensor
    wrong: Tensor
    objects: tuple[str, ...]
    used: Usage


def caption(adapter: AnyAdapter, shown: Pictures, steering: Steering | None = None) -> list[str]:
    """Captions of images.

    `steering`: what is applied; nothing where it is left out.
    """
    [captions] = captions_under(adapter, shown, [steering or Steering()])
    return captions


def captions_under(adapter: AnyAdapter, shown: Pictures, steerings: Sequence[Steering]) -> list[list[str]]:
    """Captions under each of several steerings, whose rows share batches."""
    rows = [(one, sample) for one in steerings for sample in shown.samples]
    captions: list[str] = []
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        with steer(adapter, [one for one, _ in some]):
            captions += [one.output for one in adapter.generate([sample for _, sample in some], shown.sampling)]
    return [captions[start : start + len(shown)] for start in range(0, len(captions), len(shown))]


@torch.no_grad()
def read_mentions(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    shown: Pictures,
    captions: Sequence[str],
    *,
    pool: str = "mean",
    moment: Moment = "named",
) -> Mentions:
    """Read the states in which captions name objects, and judge each mention by the objects of its image.

    `pool`: how the activations of a mention's tokens become one, a name of `POOLS`.
    `moment`: `named`, the tokens of the mention; `before`, the one token that predicts it.

    Raises:
        DictionaryError: The dictionary does not fit the model, or nothing is named.
    """
    site = dictionary.located(adapter)
    chair = Chair(shown.truth)
    rows = [chair.row(one.id, text) for one, text in zip(shown.samples, captions, strict=True)]
    samples = [replace(one, output=row.caption) for one, row in zip(shown.samples, rows, strict=True) if row.mentions]
    if not samples:
        raise DictionaryError(f"{len(captions)} captions name no object; there is nothing to tell apart")
    named = {row.image: row for row in rows}
    states = [
        state
        for one in token_states(adapter, samples, site, batch=BATCH)
        for state in _mention_states(adapter, one, named[one.sample.id], moment)
    ]
    mentions = [mention for row in rows for mention in row.mentions]
    truths = [row.truth for row in rows for _ in row.mentions]
    return Mentions(
        torch.stack([POOLS[pool](dictionary.encode(state)) for state in states]),
        torch.stack([state.mean(dim=0) for state in states]),
        torch.tensor([one.object not in truth for one, truth in zip(mentions, truths, strict=True)]),
        tuple(mention.object for mention in mentions),
        usage(dictionary, states),
    )


def detect_hallucination(
    train: Mentions, test: Mentions, *, names: Sequence[str] = ("single", "logistic", "trees"), seed: int = 0
) -> list[Detection]:
    """Detect mentions of absent objects: by features, by hidden states, and by the object's name alone.

    A name alone predicts much, because models imagine what is usual; what a state knows beyond it is what a detector
    adds.

    `names`: which of `DETECTORS`.
    """
    found = compare_detectors(
        (train.z, test.z), (train.states, test.states), train.wrong, test.wrong, names=names, seed=seed
    )
    words = sorted({*train.objects, *test.objects})
    one_hot = [torch.tensor([[name == word for word in words] for name in one.objects]) for one in (train, test)]
    prior = detect(ridge_logistic, (one_hot[0], train.wrong), (one_hot[1], test.wrong), inputs="name", seed=seed)
    return [*found, prior]


@dataclass(frozen=True)
class CaptionChange:
    """What steering a feature changes in captions, beside the same images unsteered.

    `more`: objects that more captions name, with the change of their share; most first.
    `hallucinated`: share of mentions that are wrong, before and after; None where nothing is named.
    """

    feature: int
    factor: float
    more: tuple[tuple[str, float], ...]
    fewer: tuple[tuple[str, float], ...]
    hallucinated: tuple[float | None, float | None]
    words: tuple[float | None, float | None]


def caption_changes(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    features: Sequence[int],
    used: Usage,
    shown: Pictures,
    *,
    factor: float = 1.0,
    most: int = 3,
) -> list[CaptionChange]:
    """Steer features while captions are made, h + factor · maximum · row, and read what changed with CHAIR's parser.

    `features`: which features, such as those that a detector rests on.
    `used`: how they are used; it has their largest activations.

    Source: Kuznetsov et al. 2025, arXiv:2503.03601, who let a language model describe the changes.
    """
    before = score_captions(shown, caption(adapter, shown))
    found = []
    for feature in features:
        push = replace(at_maximum(dictionary, feature, used, factor), positions=Positions("last | generated"))
        after = score_captions(shown, caption(adapter, shown, Steering((push,))))
        grown = sorted(_changes(before, after).items(), key=lambda one: -one[1])
        found.append(
            CaptionChange(
                feature,
                factor,
                tuple(one for one in grown[:most] if one[1] > 0),
                tuple(one for one in grown[: -most - 1 : -1] if one[1] < 0),
                (before.chair_i.value, after.chair_i.value),
                (before.length.value, after.length.value),
            )
        )
    return found


def score_captions(shown: Pictures, captions: Sequence[str]) -> ChairScore:
    """CHAIR of one caption an image.

    `captions`: the descriptions, in the same order.
    """
    truth = shown.truth
    return Chair(truth).score(dict(zip(truth, captions, strict=True)))


def _changes(before: ChairScore, after: ChairScore) -> dict[str, float]:
    """By how much the share of captions that name each object grew."""
    counts = [Counter(name for row in side.rows for name in row.objects) for side in (before, after)]
    return {name: (counts[1][name] - counts[0][name]) / before.n for name in counts[0] | counts[1]}


def _mention_states(adapter: AnyAdapter, one: TokenStates, row: ChairRow, moment: Moment) -> Iterator[Tensor]:
    """The states of each mention's tokens, (tokens, width), in the order of the mentions.

    Raises:
        DictionaryError: No token holds one.
    """
    places = torch.nonzero(one.tokens.kinds[0] & int(Kind.GENERATED)).flatten()
    spans = _spans(adapter, one.given[places, 0].tolist(), row.caption)
    for mention in row.mentions:
        of = [at for at, (start, stop) in enumerate(spans) if start < mention.stop and stop > mention.start]
        if not of:
            raise DictionaryError(f"no token of {row.caption!r} holds the characters {mention.start} to {mention.stop}")
        yield one.states[places[of]] if moment == "named" else one.states[places[of[:1]] - 1]


def _spans(adapter: AnyAdapter, ids: Sequence[int], text: str) -> list[tuple[int, int]]:
    """First and last character of each token in a text that they write.

    Raises:
        DictionaryError: They write another one.
    """
    tokenizer = adapter.processor.tokenizer
    written = [tokenizer.decode(list(ids[:count])) for count in range(len(ids) + 1)]
    before = written[-1].find(text)
    if before < 0:
        raise DictionaryError(f"the tokens of {text!r} write {written[-1]!r}; their places in it are not known")
    return [(len(one) - before, len(two) - before) for one, two in pairwise(written)]
