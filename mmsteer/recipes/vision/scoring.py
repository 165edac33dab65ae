"""Finished pictures → scores: what captions and answers add to the sums of each metric."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mmsteer.eval.words import count_words, repetition
from mmsteer.recipes.beside import Count, Pair, beside_controls, share
from mmsteer.recipes.schema import Recipe
from mmsteer.recipes.scoring import Line, Scored
from mmsteer.recipes.vision.schema import AmberImages


def named_objects(line: Line) -> set[str]:
    """The objects that a caption names."""
    return {mention["object"] for mention in line["mentions"]}


def _wrong(line: Line) -> int:
    return sum(mention["hallucinated"] for mention in line["mentions"])


def _right(line: Line) -> int:
    return len({mention["object"] for mention in line["mentions"] if not mention["hallucinated"]})


CAPTION_METRICS: Mapping[str, Count] = {
    "chair_s": lambda line: share(_wrong(line) > 0 if line["caption"] else None),
    "chair_i": lambda line: (_wrong(line), len(line["mentions"])) if line["caption"] else None,
    "recall": lambda line: (_right(line), _right(line) + len(line["missed"])),
    "precision": lambda line: (_right(line), len(named_objects(line))) if line["caption"] else None,
    "f1": lambda line: (_right(line), (len(named_objects(line)) + _right(line) + len(line["missed"])) / 2),
    "length": lambda line: share(count_words(line["caption"])),
    "distinct": lambda line: share(len(named_objects(line))),
    "empty": lambda line: share(not line["caption"]),
    "repetition": lambda line: share(repetition(line["caption"])),
    "no_objects": lambda line: share(not line["mentions"]),
}
"""As `mmsteer.eval.chair` defines them."""

AMBER_METRICS: Mapping[str, Count] = {
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


def metrics_of(recipe: Recipe) -> dict[str, Count]:
    """The metrics of captions and answers; none where nothing is asked."""
    if recipe.ask is None:
        return {}
    amber, pope = isinstance(recipe.data, AmberImages), recipe.ask.pope
    said = (AMBER_METRICS if amber else CAPTION_METRICS) if recipe.ask.caption else {}
    return said_metrics(said) | answer_metrics(pope.splits if pope else ())


def said_metrics(counts: Mapping[str, Count]) -> dict[str, Count]:
    """Metrics of captions; a picture that was only asked about has none.

    `counts`: what a caption adds to the two sums of each metric.
    """

    def told(count: Count) -> Count:
        return lambda line: None if line["caption"] is None else count(line)

    return {name: told(count) for name, count in counts.items()}


def answer_metrics(splits: Sequence[str]) -> dict[str, Count]:
    """Metrics of answers.

    `splits`: POPE's splits that are asked.
    """
    return {f"pope.{split}.{metric}": _answers(split, metric) for split in splits for metric in POPE_METRICS}


def scores(members: Sequence[Scored], metrics: Mapping[str, Count]) -> dict[str, Any]:
    """The metrics of some conditions beside their controls, and how answers flipped from the unsteered run.

    `members`: finished conditions, pooled.
    `metrics`: what a picture adds to the two sums of each.
    """
    known = {name: chance for name in metrics if (chance := _chance(name)) is not None}
    lines = [line for one in members for line in one.lines]
    before = [line for one in members for line in one.unsteered or ()] if members[0].unsteered else []
    # How many answers cannot be parsed is counted on all of them.
    unparsed = {name: count for name, count in metrics.items() if name.endswith(".unparsed")}
    others = {name: count for name, count in metrics.items() if name not in unparsed}
    found = beside_controls(members, unparsed) | beside_controls(members, others, known, common=_parsed_in_both)
    return {"metrics": {name: found[name] for name in metrics}, "flips": _flips(lines, before) if before else {}}


def _answers(split: str, metric: str) -> Count:
    above, below = (words.split() for words in POPE_METRICS[metric])

    def answers(line: Line) -> Pair | None:
        if line["answers"] is None:
            return None
        seen = Counter(one["outcome"] for one in line["answers"] if split in one["splits"])
        return sum(seen[word] for word in above), sum(seen[word] for word in below)

    return answers


def _parsed_in_both(line: Line, other: Line) -> tuple[Line, Line]:
    """Two lines without the answers that could not be parsed in one of them."""
    if not (line["answers"] and other["answers"]):
        return line, other
    pairs = zip(line["answers"], other["answers"], strict=True)
    kept = [pair for pair in pairs if "unparsed" not in (pair[0]["outcome"], pair[1]["outcome"])]
    mine, others = ([pair[side] for pair in kept] for side in (0, 1))
    return {**line, "answers": mine}, {**other, "answers": others}


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
