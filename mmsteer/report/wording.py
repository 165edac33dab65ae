"""Numbers and metrics in words."""

from mmsteer.report.parts import Interval

MINUS = "\u2212"
MISSING = "–"
_MEANINGS = {
    "note.hit": "share of clips whose main note is the target",
    "note.share": "share of the voiced frames that play the target note, mean over clips",
    "adherence": "share of what the prompt states (instrument, tempo, register) that is heard, mean over clips",
    "voiced": "share of the frames in which a pitch is heard, mean over clips",
}


def meaning(metric: str) -> str:
    """What a metric counts, with its unit.

    Args:
        metric: Its name in `scores.json`.
    """
    attribute, _, kind = metric.partition(".")
    spoken = {
        "hit": f"share of clips whose {attribute} is the target",
        "share": f"share of the clip that has the target {attribute}, mean over clips",
    }
    return _MEANINGS.get(metric) or spoken.get(kind, metric)


def number(value: float | None, digits: int = 2) -> str:
    """A number with a fixed count of digits.

    Args:
        value: None where it is unknown.
        digits: Digits behind the point.
    """
    if value is None:
        return MISSING
    text = f"{value:.{digits}f}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("-")


def signed(value: float | None, digits: int = 2) -> str:
    """A change, with its sign unless it rounds to nothing.

    Args:
        value: None where it is unknown.
        digits: Digits behind the point.
    """
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 and float(text) else text


def small(value: float | None) -> str:
    """A positive number of any size, to three significant digits.

    Args:
        value: None where it is unknown.
    """
    return MISSING if value is None else f"{value:.3g}".replace("-", MINUS)


def percent(value: float | None) -> str:
    """A fraction as a percentage.

    Args:
        value: None where it is unknown.
    """
    return MISSING if value is None else f"{100 * value:.3g} %".replace("-", MINUS)


def bracket(score: Interval, digits: int = 2) -> str:
    """The 95 % interval of a score; empty where nothing was scored.

    Args:
        score: The score.
        digits: Digits behind the point.
    """
    return "" if score.low is None else f"[{number(score.low, digits)}, {number(score.high, digits)}]"


def plural(count: int, word: str) -> str:
    """A count of things.

    Args:
        count: How many.
        word: One of them.
    """
    return f"{count:,} {word}" + ("" if count == 1 else "s")
