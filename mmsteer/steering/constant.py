"""What a steering adds at each site, where that is one vector for every token and every step."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from mmsteer.errors import SteeringError
from mmsteer.schedules import Constant
from mmsteer.steering.attribute import Attribute, Steering
from mmsteer.steering.plan import length
from mmsteer.types import Site


def constant_push(steering: Steering) -> Mapping[Site, Tensor]:
    """The sum of all that a steering adds at each site, (width,) float32, in the order of the layers.

    Args:
        steering: Additions of constant strength to all tokens, of any unit but `token`.

    Raises:
        SteeringError: Something in it is no constant vector; a line for each such thing.
    """
    problems = [*_of_the_whole(steering), *(line for item in steering.attributes for line in _of(item))]
    if problems:
        raise SteeringError("no constant vector at each site:\n" + "\n".join(problems))
    found: dict[Site, Tensor] = {}
    for item in steering.attributes:
        for site in item.written:
            # float64: a sum of several in another order would round otherwise.
            push = item.strength * _factor(item) * length(item, site) * item.direction.vectors[site].double()
            found[site] = found[site] + push if site in found else push
    return {site: found[site].float() for site in sorted(found)}


def _of_the_whole(steering: Steering) -> Iterator[str]:
    if not steering.attributes:
        yield "the steering is empty"
    if steering.compose != "sum" and len(steering.attributes) > 1:
        yield f"compose {steering.compose!r}: only sums can be written"
    if steering.budget is not None:
        yield "a budget cannot be written; leave it out"


def _of(item: Attribute) -> Iterator[str]:
    name = item.direction.name
    if item.operator != "add":
        yield f"{name}: the operator {item.operator!r} depends on the state; only 'add' can be written"
    if not isinstance(item.schedule, Constant):
        yield f"{name}: the schedule {item.schedule} changes over time; only a constant can be written"
    if str(item.positions) != "all":
        yield f"{name}: the positions {str(item.positions)!r}; only 'all' can be written"
    if item.gate:
        yield f"{name}: the gate {str(item.gate)!r} depends on the state, so it cannot be written"
    if item.branch != "both":
        yield f"{name}: the branch {item.branch!r}; only both can be written"
    if item.unit == "token":
        yield f"{name}: a fraction of each token's norm differs from token to token; use another unit"
    if any(item.direction.vectors[site].ndim > 1 for site in item.written):
        yield f"{name} has a vector for each token; only one for all of them can be written"


def _factor(item: Attribute) -> float:
    return item.schedule.value if isinstance(item.schedule, Constant) else 1.0
