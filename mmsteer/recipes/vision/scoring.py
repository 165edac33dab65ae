"""Finished pictures → scores: every metric is a ratio of two sums over pictures, beside its controls.

Intervals are bootstrapped over pictures, whose questions and mentions stand and fall together; a difference resamples
the same pictures on both sides.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mmsteer.eval.bootstrap import Floats, bootstrap, ratio, ratio_interval
from mmsteer.eval.words import count_words, repetition
from mmsteer.recipes.scoring import Line, Scored
from mmsteer.recipes.vision.schema import AmberImages, VisionRecipe
from mmsteer.types import Score

Pair = tuple[float, float]
"""What a picture adds to the two sums of a metric."""

Runs = Sequence[Sequence[Line]]


def _share(value: float | None) -> Pair:
    """A mean over pictures as a ratio of sums; what cannot be told is left out of both."""
    return (0.0, 0.0) if value is None else (float(value), 1.0)


def _named(line: Line) -> set[str]:
    return {mention["object"] for mention in line["mentions"]}


def _wrong(line: Line) -> int:
    return sum(mention["hallucinated"] for mention in line["mentions"])


def _right(line: Line) -> int:
    return len({mention["object"] for mention in line["mentions"] if not mention["hallucinated"]})


CAPTION_METRICS: Mapping[str, Callable[[Line], Pair]] = {
    "chair_s": lambda line: _share(_wrong(line) > 0 if line["caption"] else None),
    "chair_i": lambda line: (_wrong(line), len(line["mentions"])),
    "recall": lambda line: (_right(line), _right(line) + len(line["missed"])),
    "precision": lambda line: (_right(line), len(_named(line))),
    "f1": lambda line: (_right(line), (len(_named(line)) + _right(line) + len(line["missed"])) / 2),
    "length": lambda line: _share(count_words(line["caption"])),
    "distinct": lambda line: _share(len(_named(line))),
    "empty": lambda line: _share(not line["caption"]),
    "repetition": lambda line: _share(repetition(line["caption"])),
    "no_objects": lambda line: _share(not line["mentions"]),
}
"""As `mmsteer.eval.chair` defines them."""

AMBER_METRICS: Mapping[str, Callable[[Line], Pair]] = {
    **{name: count for name, count in CAPTION_METRICS.items() if name not in ("precision", "f1")},
    "recall": lambda line: (line["covered"], line["covered"] + len(line["missed"])),
    "cog": lambda line: (line["tempted"], line["tempting"]),
}
"""As `mmsteer.eval.amber` defines them: CHAIR is chair_i, Hal chair_s, Cover recall, Cog cog. One thing differs: Hal
takes an empty description for one without a hallucination, chair_s leaves it out."""

OUTCOMES = ("tp", "fp", "tn", "fn", "unparsed")
POPE_METRICS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("tp tn", "tp fp tn fn"),
    "precision": ("tp", "tp fp"),
    "recall": ("tp", "tp fn"),
    "f1": ("tp tp", "tp tp fp fn"),
    "yes_ratio": ("tp fp", "tp fp tn fn"),
    "unparsed": ("unparsed", "tp fp tn fn unparsed"),
}
"""Outcomes above and below the line, as `mmsteer.eval.pope` defines them."""

CHANCE = {"accuracy": 0.5}


def metrics_of(recipe: VisionRecipe) -> dict[str, Callable[[Line], Pair]]:
    """The metrics that a run gives.

    Args:
        recipe: The recipe.
    """
    amber, pope = isinstance(recipe.images, AmberImages), recipe.ask.pope
    said = (AMBER_METRICS if amber else CAPTION_METRICS) if recipe.ask.caption else {}
    return said_metrics(said) | answer_metrics(pope.splits if pope else ())


def said_metrics(counts: Mapping[str, Callable[[Line], Pair]]) -> dict[str, Callable[[Line], Pair]]:
    """Metrics of captions; a picture that was only asked about adds nothing.

    Args:
        counts: What a caption adds to the two sums of each metric.
    """

    def told(count: Callable[[Line], Pair]) -> Callable[[Line], Pair]:
        return lambda line: (0.0, 0.0) if line["caption"] is None else count(line)

    return {name: told(count) for name, count in counts.items()}


def answer_metrics(splits: Sequence[str]) -> dict[str, Callable[[Line], Pair]]:
    """Metrics of answers.

    Args:
        splits: POPE's splits that are asked.
    """
    return {f"pope.{split}.{metric}": _answers(split, metric) for split in splits for metric in POPE_METRICS}


def scores(members: Sequence[Scored], metrics: Mapping[str, Callable[[Line], Pair]]) -> dict[str, Any]:
    """The metrics of some conditions beside their controls, and how answers flipped from the unsteered run.

    Args:
        members: Finished conditions, pooled.
        metrics: What a picture adds to the two sums of each.
    """
    steered = [[line for one in members for line in one.lines]]
    unsteered = [[line for one in members for line in one.unsteered or ()]] if members[0].unsteered else []
    controls = {kind: _pooled(members, kind) for kind in members[0].controls}
    found = {name: _beside(count, steered, unsteered, controls, _chance(name)) for name, count in metrics.items()}
    return {"metrics": found, "flips": _flips(steered[0], unsteered[0]) if unsteered else {}}


def _pooled(members: Sequence[Scored], kind: str) -> Runs:
    """The runs of one kind of control, each over the pictures of all members."""
    runs = zip(*(one.controls[kind] for one in members), strict=True)
    return [[line for lines in run for line in lines] for run in runs]


def _beside(
    count: Callable[[Line], Pair], steered: Runs, unsteered: Runs, controls: Mapping[str, Runs], chance: float | None
) -> dict[str, Any]:
    found = {
        "steered": _json(_mean(count, steered)),
        "unsteered": _json(_mean(count, unsteered)),
        "difference": _json(_difference(count, steered, unsteered)),
        "chance": chance,
    }
    for kind, runs in controls.items():
        found |= {
            kind: _json(_mean(count, runs)),
            f"{kind}_difference": _json(_difference(count, runs, unsteered)),
            f"against_{kind}": _json(_difference(count, steered, runs)),
        }
    return found


def _json(score: Score | None) -> dict[str, Any] | None:
    return None if score is None else score.to_json()


def _mean(count: Callable[[Line], Pair], runs: Runs) -> Score | None:
    """The metric of a run; of several runs the mean of theirs."""
    if not runs:
        return None
    table = _table(count, runs)
    if len(runs) == 1:
        # A picture that was not asked about, or on which nothing can be told, is no part of n.
        told = table[:, 1] > 0
        return ratio_interval(table[told, 0], table[told, 1], unscored=int((~told).sum()))
    return bootstrap(lambda sums: _ratios(sums).mean(axis=-1), table)


def _difference(count: Callable[[Line], Pair], runs: Runs, others: Runs) -> Score | None:
    """The mean metric of some runs less that of others, on the same pictures."""
    if not runs or not others:
        return None
    table, at = np.concatenate([_table(count, runs), _table(count, others)], axis=1), len(runs)
    return bootstrap(lambda sums: _ratios(sums)[..., :at].mean(-1) - _ratios(sums)[..., at:].mean(-1), table)


def _table(count: Callable[[Line], Pair], runs: Runs) -> Floats:
    """What each picture adds to the two sums of each run, (pictures, 2 runs)."""
    pairs = [[count(line) for line in lines] for lines in runs]
    return np.array(pairs, dtype=np.float64).transpose(1, 0, 2).reshape(len(pairs[0]), -1)


def _ratios(sums: Floats) -> Floats:
    return ratio(sums[..., 0::2], sums[..., 1::2])


def _answers(split: str, metric: str) -> Callable[[Line], Pair]:
    above, below = (words.split() for words in POPE_METRICS[metric])

    def answers(line: Line) -> Pair:
        seen = Counter(one["outcome"] for one in line["answers"] or () if split in one["splits"])
        return sum(seen[word] for word in above), sum(seen[word] for word in below)

    return answers


def _chance(name: str) -> float | None:
    return CHANCE.get(name.rpartition(".")[2]) if name.startswith("pope.") else None


def _flips(steered: Sequence[Line], unsteered: Sequence[Line]) -> dict[str, dict[str, int]]:
    """For each split how many questions went from each outcome to each, such as `tp->fn`."""
    found: dict[str, Counter[str]] = {}
    for after, before in zip(steered, unsteered, strict=True):
        for new, old in zip(after["answers"] or (), before["answers"] or (), strict=True):
            for split in new["splits"]:
                found.setdefault(split, Counter())[f"{old['outcome']}->{new['outcome']}"] += 1
    return {split: dict(sorted(counts.items())) for split, counts in found.items()}
