"""Numbers and metrics in words."""

from mmsteer.report.parts import Interval

MINUS = "\u2212"
MISSING = "–"
CONTROLS = {
    "random": "random direction",
    "searched": "random direction, chosen alike",
    "wrong_image": "wrong images",
    "shuffled": "direction of shuffled labels",
}
"""Kinds of controls; but for random ones they are found as the direction is, in data that should not lead to it."""
NOUNS = {"music": ("prompt", "clip"), "vision": ("image", "image"), "rows": ("row", "output")}
"""What a run of each kind is generated from, and what its scores are counted in."""
_MEANINGS = {
    "note.hit": "share of clips whose main note is the target",
    "note.share": "share of the voiced frames that play the target note, mean over clips",
    "adherence": "share of what the prompt states (instrument, tempo, register) that is heard, mean over clips",
    "voiced": "share of the frames in which a pitch is heard, mean over clips",
}
_CAPTIONS = {
    "chair_s": "share of captions that name an object which is not there; lower is better",
    "chair_i": "share of the mentions of objects that are not there; lower is better",
    "cog": "share of the mentions of objects that are not there and that people tend to imagine; lower is better",
    "recall": "share of the objects there that are named",
    "precision": "share of the objects named that are there, each once a caption",
    "f1": "harmonic mean of precision and recall of the objects named",
    "length": "words a caption",
    "distinct": "different objects that a caption names",
    "empty": "share of captions without a word; lower is better",
    "repetition": "share of runs of four words that their caption has said before; lower is better",
    "no_objects": "share of captions that name no object, which CHAIR_s takes for free of hallucination",
}
_ANSWERS = {
    "accuracy": "share of answers that are right",
    "precision": "share of the answers yes that are right",
    "recall": "share of the objects there that are answered yes",
    "f1": "harmonic mean of precision and recall of the answer yes",
    "yes_ratio": "share of answers that are yes",
    "unparsed": "share of answers that are neither yes nor no, which no other score counts; lower is better",
}


def meaning(metric: str) -> str:
    """What a metric counts, with its unit."""
    attribute, _, kind = metric.partition(".")
    if attribute == "pope":
        split, _, kind = kind.partition(".")
        return f"POPE, {split}: {_ANSWERS.get(kind, kind)}"
    spoken = {
        "hit": f"share of clips whose {attribute} is the target",
        "share": f"share of the clip that has the target {attribute}, mean over clips",
    }
    return _MEANINGS.get(metric) or _CAPTIONS.get(metric) or spoken.get(kind, metric)


def digits(metric: str) -> int:
    """Digits behind the point that a metric is shown with."""
    if metric in ("length", "distinct"):
        return 1
    return 3 if metric in _CAPTIONS or metric.startswith("pope.") else 2


def number(value: float | None, digits: int = 2) -> str:
    """A number with a fixed count of digits.

    `value`: None where it is unknown.
    """
    if value is None:
        return MISSING
    text = f"{value:.{digits}f}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("-")


def signed(value: float | None, digits: int = 2) -> str:
    """A change, with its sign unless it rounds to nothing.

    `value`: None where it is unknown.
    """
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 and float(text) else text


def small(value: float | None) -> str:
    """A positive number of any size, to three significant digits.

    `value`: none where it is unknown.
    """
    return MISSING if value is None else f"{value:.3g}".replace("-", MINUS)


def percent(value: float | None) -> str:
    """A fraction as a percentage.

    Args:
        value: None where it is unknown.
    """
    return MISSING if value is None else f"{100 * value:.3g} %".replace("-", MINUS)


def bracket(score: Interval, digits: int = 2) -> str:
    """The 95 % interval of a score; empty where nothing was scored."""
    if score.low is None:
        return "" if score.value is None else "(no interval)"
    return f"[{number(score.low, digits)}, {number(score.high, digits)}]"


def plural(count: int, word: str) -> str:
    """A count of things."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")
