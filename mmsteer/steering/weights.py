"""How the strength of an attribute is shared among its sites."""

import re
from collections.abc import Mapping, Sequence

from mmsteer.errors import SteeringError, clip
from mmsteer.types import Direction, Site

FLAT = 0.01
"""Held-out scores closer together than this tell nothing apart: min-max scaling would make weights of noise."""

_TEXT = re.compile(r"(uniform|linear|top|power)(?:\((\d{1,9}(?:\.\d+)?)\))?")


def layer_weights(text: str, direction: Direction, sites: Sequence[Site] | None = None) -> Mapping[Site, float]:
    """The weight of each of some sites of a direction.

    `uniform` weighs all alike; `top(8)` keeps the eight best-scoring sites; `linear` takes the probe's held-out
    score, min-max scaled over the sites; `power(0.95)` takes that to the power 1/0.95, which MusicRFM calls
    exponential. Where the scores differ by less than `FLAT`, linear and power are uniform.

    Args:
        text: One of the forms above.
        direction: The direction.
        sites: Those of its sites that share the strength; None for all.

    Raises:
        SteeringError: The text is none of the forms, or a site has no score to weigh by.

    Source: Zhao et al. 2025, Steering Autoregressive Music Generation with Recursive Feature Machines, section 3.
    """
    form, number = parse_weights(text)
    sites = direction.sites if sites is None else sites
    if form == "uniform":
        return dict.fromkeys(sites, 1.0)
    scores = _scores(direction, sites, text)
    if form == "top":
        kept = sorted(scores, key=lambda site: -scores[site])[: int(number)]
        return {site: float(site in kept) for site in sites}
    return _scaled(scores, 1 / number)


def parse_weights(text: str) -> tuple[str, float]:
    """The form and its number, which is 1 where the form takes none.

    `text`: for example `uniform` or `top(8)`.

    Raises:
        SteeringError: The text is none of the forms.
    """
    match = _TEXT.fullmatch(text)
    form, number = match.groups() if match else ("", None)
    if not match or (number is None) != (form in ("uniform", "linear")) or (number and float(number) == 0):
        raise SteeringError(f"no layer weights {clip(text)}; choose from uniform, linear, top(K), power(KAPPA)")
    return form, float(number or 1)


def _scores(direction: Direction, sites: Sequence[Site], text: str) -> dict[Site, float]:
    scores = {site: direction.stats[site].score for site in sites}
    missing = [str(site) for site, score in scores.items() if score is None]
    if missing:
        raise SteeringError(
            f"layer weights {text!r} need a held-out score at every site; {direction.name!r} has none at "
            f"{', '.join(missing)}; use uniform, or fit the probe with a validation split"
        )
    return {site: score for site, score in scores.items() if score is not None}


def _scaled(scores: Mapping[Site, float], power: float) -> dict[Site, float]:
    low, high = min(scores.values()), max(scores.values())
    if high - low < FLAT:
        return dict.fromkeys(scores, 1.0)
    return {site: ((score - low) / (high - low)) ** power for site, score in scores.items()}
