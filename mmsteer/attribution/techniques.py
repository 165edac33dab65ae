"""Techniques, each of which asks a function of shares: perturbation, gradient, linear approximation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from mmsteer.errors import AttributionError, clip

Function = Callable[[Tensor], Tensor]
"""From shares, (rows, units), to the metric, (rows,)."""

SLOPES = "what is learned again from a set of samples has no slope in it; take influence"
MOST_EXACT = 12
"""Units of which all subsets are tried: 4,096."""


@dataclass(frozen=True)
class Effort:
    """How hard a technique tries.

    Attributes:
        batch: Rows a forward.
        steps: Of the path of integrated gradients.
        draws: Orders for `shapley`, sets of units for `lime`.
        seed: Of the draws.
    """

    batch: int = 16
    steps: int = 64
    draws: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise AttributionError(f"the seed is a whole number from 0 to 2**64 - 1, not {clip(self.seed)}")


@dataclass(frozen=True)
class Technique:
    """How a number is shared out among units.

    Attributes:
        family: `perturbation`, `gradient` or `linear`.
        meaning: What a unit's value is.
        run: Asks the function, and gives (units,); None for `influence` and `saliency`, which ask for other slopes.
        not_of_samples: Why it cannot be asked about training samples; empty where it can.
        not_of_parts: Why it cannot be asked about parts of a forward; empty where it can.
        of_captum: Whether captum runs it.
        is_size: Whether a value has no sign, and is in no unit in which values add up to the number.
    """

    family: Literal["perturbation", "gradient", "linear"]
    meaning: str
    run: Callable[[Function, int, Effort], Tensor] | None
    not_of_samples: str = ""
    not_of_parts: str = ""
    of_captum: bool = False
    is_size: bool = False


def _occlusion(function: Function, units: int, effort: Effort) -> Tensor:
    return _asked(_captum().FeatureAblation(function), units, perturbations_per_eval=effort.batch)


def _shapley(function: Function, units: int, effort: Effort) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(effort.seed)
        sampling = _captum().ShapleyValueSampling(function)
        return _asked(sampling, units, n_samples=effort.draws, perturbations_per_eval=effort.batch)


def _exact(function: Function, units: int, effort: Effort) -> Tensor:
    _check_exact(units)
    subsets = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * units).reshape(-1, units)
    with torch.no_grad():
        values = torch.cat([function(part) for part in subsets.split(effort.batch)]).double()
    sizes = subsets.sum(1).long()
    orders = torch.lgamma(torch.arange(units + 1.0, dtype=torch.float64) + 1).exp()
    found = []
    for at in range(units):
        without = (subsets[:, at] == 0).nonzero().flatten()
        joined = without + 2 ** (units - 1 - at)  # subsets count in binary, the first unit first
        weight = orders[sizes[without]] * orders[units - 1 - sizes[without]] / orders[units]
        found.append((weight * (values[joined] - values[without])).sum())
    return torch.stack(found)


def _gradient(function: Function, units: int, effort: Effort) -> Tensor:
    del effort
    return _asked(_captum().Saliency(function), units, abs=False)


def _integrated(function: Function, units: int, effort: Effort) -> Tensor:
    return _asked(
        _captum().IntegratedGradients(function), units, n_steps=effort.steps, internal_batch_size=effort.batch
    )


def _lime(function: Function, units: int, effort: Effort) -> Tensor:
    generator = torch.Generator().manual_seed(effort.seed)
    sets = torch.randint(2, (effort.draws, units), generator=generator).float()
    with torch.no_grad():
        values = torch.cat([function(part) for part in sets.split(effort.batch)]).double()
    x = torch.cat([sets, torch.ones(len(sets), 1)], dim=1).double()
    # The penalty of a ridge regression, none on the intercept: fewer draws than units have an answer, too.
    penalty = torch.diag(torch.cat([torch.full((units,), 1e-2), torch.zeros(1)]).double())
    return torch.linalg.solve(x.T @ x + penalty, x.T @ values)[:-1]


TECHNIQUES: Mapping[str, Technique] = MappingProxyType(
    {
        "occlusion": Technique("perturbation", "by how much the metric falls without it", _occlusion, of_captum=True),
        "shapley": Technique(
            "perturbation", "its mean gain over orders in which units come in, drawn", _shapley, of_captum=True
        ),
        "exact-shapley": Technique("perturbation", "its mean gain over all orders in which units come in", _exact),
        "saliency": Technique(
            "gradient",
            "the norm of the metric's gradient in its state: how much the largest small change of it would do",
            None,
            SLOPES,
            is_size=True,
        ),
        "gradient": Technique(
            "gradient",
            "the slope of the metric in its share: gradient x (input - baseline)",
            _gradient,
            SLOPES,
            of_captum=True,
        ),
        "integrated-gradients": Technique(
            "gradient", "the mean slope on the way from the baseline", _integrated, SLOPES, of_captum=True
        ),
        "lime": Technique(
            "linear", "its weight in a ridge regression over random sets of units", _lime, "it is datamodels; take that"
        ),
        "datamodels": Technique(
            "linear",
            "its weight in a ridge regression over random halves of the training samples",
            _lime,
            not_of_parts="it is a regression over sets of training samples; of parts it is lime, take that",
        ),
        "influence": Technique(
            "linear",
            "the slope of the number in its weight in the training",
            None,
            not_of_parts="nothing is learned from parts of a forward; the slope in a part's share is gradient",
        ),
    }
)
"""Techniques by name.

Source: occlusion: Zeiler and Fergus 2014, arXiv:1311.2901; Shapley sampling: Castro et al. 2009,
doi:10.1016/j.cor.2008.04.004; saliency: Simonyan et al. 2013, arXiv:1312.6034; gradient x input, which with a baseline
of another run is attribution patching: Syed et al. 2023, arXiv:2310.10348; integrated gradients: Sundararajan et al.
2017, arXiv:1703.01365; LIME: Ribeiro et al. 2016, arXiv:1602.04938; datamodels: Ilyas et al. 2022, arXiv:2202.00622;
influence: Koh and Liang 2017, arXiv:1703.04730; one vocabulary: Zhang et al. 2025, arXiv:2501.18887.
"""


def asked_of(name: str, units: Literal["parts", "samples"]) -> Technique:
    """A technique by name, for parts of a forward or for training samples.

    Args:
        name: One of `TECHNIQUES`.
        units: What is asked about.

    Raises:
        AttributionError: There is none of this name, or it cannot be asked about such units.
    """
    if name not in TECHNIQUES:
        raise AttributionError(f"no technique {name!r}; choose from {', '.join(TECHNIQUES)}")
    found = TECHNIQUES[name]
    why = found.not_of_samples if units == "samples" else found.not_of_parts
    if why:
        whole = "training samples" if units == "samples" else "parts of a forward"
        raise AttributionError(f"{name} is not for {whole}: {why}")
    return found


def check_states(name: str, are_states: bool) -> None:
    """Refuse the gradient in a state of units that are none, before anything runs.

    Args:
        name: A technique.
        are_states: Whether the units are states.

    Raises:
        AttributionError: They are not, and it is that gradient.
    """
    if TECHNIQUES[name].is_size and not are_states:
        raise AttributionError(
            f"{name} is the gradient in a state, and a feature or a vector is a direction: the slope in its share is "
            "gradient; take that"
        )


def check_parts(name: str, units: int | None = None) -> None:
    """Refuse what would only fail once a forward is attributed.

    Args:
        name: A technique.
        units: How many there are; None where that is not known before.

    Raises:
        AttributionError: It is not for parts of a forward or for so many, or is captum's, which is not installed.
    """
    if asked_of(name, "parts").of_captum:
        _captum()
    if name == "exact-shapley":
        _check_exact(units)


def _check_exact(units: int | None) -> None:
    if units is None or units > MOST_EXACT:
        many = f"{units} units are too many" if units else "units that are as many as a sample has may be too many"
        raise AttributionError(f"all subsets of {many}; take at most {MOST_EXACT}, or `shapley`")


def _captum() -> Any:
    try:
        from captum import attr
    except ImportError:
        raise AttributionError("this technique is captum's: pip install 'mmsteer[attribution]'") from None
    return attr


def _asked(technique: Any, units: int, **more: Any) -> Tensor:
    """Ask a technique of captum about all units, from a baseline of no units."""
    inputs = torch.ones(1, units, requires_grad=True)
    wanted = {} if type(technique).__name__ == "Saliency" else {"baselines": torch.zeros(1, units)}
    found: Tensor = technique.attribute(inputs, **wanted, **more)
    return found[0].detach().double()
