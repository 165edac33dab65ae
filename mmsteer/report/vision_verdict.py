"""What a run of the kind vision shows, in plain words with numbers."""

from collections.abc import Mapping

from mmsteer.report.headline import Headline, Verdict, change, moved
from mmsteer.report.parts import Metric, Row
from mmsteer.report.wording import CONTROLS, digits, number, plural

SHORT = 0.8
"""Captions below this share of their length say less; that alone lowers CHAIR."""


def vision_verdicts(chosen: Headline) -> list[Verdict]:
    """What the captions and the answers of a row show."""
    found = [_captions(chosen.row, chosen.how), _answers(chosen.row, chosen.how)]
    return [one for one in found if one]


def _captions(row: Row, how: str) -> Verdict | None:
    chair = row.metrics.get("chair_s")
    if not chair:
        return None
    parts = [change("chair_s", chair)]
    parts += [moved(name, row.metrics[name]) for name in ("recall", "f1") if name in row.metrics]
    parts += [_before_after(name, row.metrics[name]) for name in ("length", "empty") if name in row.metrics]
    source = f"{row.condition}, {plural(chair.steered.n, 'image')}{how}"
    return Verdict(_effect(chair) + _price(row), "; ".join(parts), source)


def _effect(chair: Metric) -> str:
    if not chair.difference:
        return "Nothing unsteered stands beside this"
    if chair.difference.above:
        return "More captions hallucinate than without steering"
    if not chair.difference.below:
        return "No effect on hallucination is shown"
    same = [CONTROLS[kind] for kind, score in chair.against.items() if not score.below]
    if same:
        return f"Fewer captions hallucinate, but the same is not ruled out for controls ({', '.join(same)})"
    if not chair.against:
        return "Fewer captions hallucinate; no control stands beside this"
    return "Fewer captions hallucinate, and fewer than with any control"


def _price(row: Row) -> str:
    """What else changed: a caption that says less is wrong less often."""
    recall, length = row.metrics.get("recall"), row.metrics.get("length")
    paid = ["recall falls"] if recall and recall.difference and recall.difference.below else []
    if length and length.unsteered and length.unsteered.value and length.steered.value is not None:
        share = length.steered.value / length.unsteered.value
        paid += [f"captions shrink to {100 * share:.0f} % of their length"] if share < SHORT else []
    return f"; {' and '.join(paid)}" if paid else ""


def _answers(row: Row, how: str) -> Verdict | None:
    asked = [name.split(".") for name in row.metrics if name.startswith("pope.")]
    splits = {split: row.metrics[f"pope.{split}.f1"] for _, split, metric in asked if metric == "f1"}
    if not splits:
        return None
    parts = [moved(split, one, "pope.f1") for split, one in splits.items()]
    unread = [row.metrics[f"pope.{split}.{metric}"].steered.value for _, split, metric in asked if metric == "unparsed"]
    parts += [f"unparsed up to {number(most, 3)}"] if (most := max(filter(None, unread), default=None)) else []
    n = max(one.steered.n for one in splits.values())
    return Verdict(_answer_claim(splits), "; ".join(parts), f"POPE, {row.condition}, {plural(n, 'image')}{how}")


def _answer_claim(splits: Mapping[str, Metric]) -> str:
    if all(one.steered.value is None for one in splits.values()):
        return "The answers have no F1"
    better = [split for split, one in splits.items() if one.difference and one.difference.above]
    worse = [split for split, one in splits.items() if one.difference and one.difference.below]
    said = [f"rises ({', '.join(better)})"] if better else []
    said += [f"falls ({', '.join(worse)})"] if worse else []
    return f"F1 of the answers {' and '.join(said)}" if said else "No change of the answers' F1 is shown"


def _before_after(name: str, metric: Metric) -> str:
    before = f"{number(metric.unsteered.value, digits(name))} → " if metric.unsteered else ""
    return f"{name} {before}{number(metric.steered.value, digits(name))}"
