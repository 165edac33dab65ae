"""What the feature browser shows of a feature, as plain values."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from torch import Tensor

from mmsteer.latents.evidence import label_lift
from mmsteer.latents.maximal import Maximal, Moment
from mmsteer.latents.vocabulary import Ranking
from mmsteer.report.svg import Axis, drawing, element, frame

LEAST_LIFT = 0.25
"""A label is named where it is this much more frequent among the moments than among all samples."""
LINE_END, TAB, SPACE = "↵", "⇥", "␣"
BINS = 24
LOWEST = -4.0
"""log10 of the lowest density that is drawn; rarer features and dead ones stand at the left edge."""


@dataclass(frozen=True)
class Word:
    """A token of a sample.

    `level`: how active the feature is, from 0 to 1 of its largest activation.
    """

    text: str
    level: float
    peak: bool


@dataclass(frozen=True)
class MomentView:
    """A top activating moment.

    Attributes:
        activation: How active the feature is.
        says: The sample's text, and the time of the moment.
        audio: The clip, relative to the page; None for a picture.
        picture: Its spectrogram, or the picture that is seen; None where there is neither.
        at: Where in the clip, from 0 to 100; None for words.
        curve: Activation over the clip.
        words: The tokens, for a model of words.
    """

    activation: float
    says: str
    audio: str | None
    picture: str | None
    at: float | None
    curve: Markup | None
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Steered:
    """What was generated, on the same prompt and seed.

    `role`: `unsteered` or `steered`.
    `audio`: the clip; None for words.
    """

    role: str
    audio: str | None
    picture: str | None
    text: str


@dataclass(frozen=True)
class FeatureView:
    """A feature.

    Attributes:
        feature: Its number.
        reads: What its moments share; empty where they share nothing.
        telling: How much they share it, from 0 to 1: what the list is sorted by.
        density: Share of hidden states in which it is active.
        mean: Mean activation where it is active.
        maximum: Largest activation.
        moments: Its top activating moments.
        heads: Tokens that its decoder row promotes and suppresses, for each head.
        steered: What steering it does; empty where it was not tried.
    """

    feature: int
    reads: str
    telling: float
    density: float
    mean: float
    maximum: float
    moments: tuple[MomentView, ...]
    heads: tuple[tuple[str, str], ...]
    steered: tuple[Steered, ...]


def shared(found: Maximal, labels: Mapping[str, Mapping[str, str]], *, words: bool) -> tuple[str, float]:
    """What the moments of a feature have in common, in words, and how much.

    `words`: whether the model reads words, which may be what they share.
    """
    known = {moment.sample for moment in found.moments} <= labels.keys()
    lifts = label_lift(found, labels) if labels and known and found.moments else []
    said = [f"{value} {attribute} (+{100 * lift:.0f} %)" for attribute, value, lift in lifts[:3] if lift >= LEAST_LIFT]
    telling = max([0.0, *(lift for _, _, lift in lifts[:1])])
    if words and found.moments:
        [(word, count)] = Counter(visible(moment.words) for moment in found.moments).most_common(1)
        share = count / len(found.moments)
        said = [f"“{word}” ({100 * share:.0f} %)", *said] if share > 0.5 else said
        telling = max(telling, share)
    return ", ".join(said), telling


def named(ranking: Ranking, count: int = 8) -> tuple[str, str]:
    """The tokens at both ends of a head, as lists in words."""
    top, bottom = (" ".join(visible(entry.name) for entry in end[:count]) for end in (ranking.top, ranking.bottom))
    return top, bottom


def visible(name: str) -> str:
    """A token without the space around it; a token that is nothing else is shown by signs."""
    return name.strip() or name.replace("\n", LINE_END).replace("\t", TAB).replace(" ", SPACE)


def spaced(names: Sequence[str]) -> list[str]:
    """Tokens as they follow one another in a text.

    `names`: as the tokenizer writes them: with the spaces between words, or as bare words.
    """
    bare = not any(name[:1].isspace() for name in names)
    return [f"{name} " if bare else name.replace("\n", LINE_END) for name in names]


def curve(z: Tensor, largest: float) -> Markup:
    """Activation over the tokens of a clip, to be laid over its spectrogram."""
    points = " ".join(f"{at} {20 - 19 * min(float(value) / largest, 1):.1f}" for at, value in enumerate(z))
    path = element("path", d=f"M{points}", kind="activation")
    return drawing(max(len(z) - 1, 1), 20, "activation over the clip", [path], "curve", stretch=True)


def words(names: Sequence[str], z: Tensor, moment: Moment, first: int) -> tuple[Word, ...]:
    """The tokens of a sample, each with how active the feature is there.

    `z`: activations at these tokens, (tokens,).
    `first`: place of the first token that is shown.
    """
    pairs = zip(names, z.tolist(), strict=True)
    return tuple(
        Word(name, min(value / moment.activation, 1.0), first + at == moment.place)
        for at, (name, value) in enumerate(pairs)
    )


def density_chart(density: Tensor) -> Markup:
    """How many features are how often active, on a logarithmic scale."""
    counts = density.clamp(min=10**LOWEST).log10().histc(BINS, LOWEST, 0.0).tolist()
    x, y = Axis(LOWEST, 0.0, 44, 440), Axis(0.0, max(counts), 170, 22)
    width = (x.stop - x.start) / BINS
    bars = [
        element("rect", x=x.start + at * width, y=y(count), width=width - 1, height=y.start - y(count), kind="heat")
        for at, count in enumerate(counts)
    ]
    axes = frame(x, y, ("share of hidden states in which a feature is active, log10", "features"))
    return drawing(460, 210, f"Density of {len(density)} features", [*axes, *bars], "chart")
