"""One way to attribute: a number of a forward, to units, by a technique."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from mmsteer import hooks
from mmsteer.attribution.baselines import check_stack
from mmsteer.attribution.metrics import Metric, log_probability
from mmsteer.attribution.techniques import TECHNIQUES, Effort, asked_of, check_states
from mmsteer.attribution.units import Shown, StateUnits, TokenUnits, Units
from mmsteer.errors import AttributionError
from mmsteer.layouts import layouts, tokens_of
from mmsteer.likelihood import output_tokens
from mmsteer.steering import Session, Steering, steer
from mmsteer.types import Adapter, Sample, Site, Tokens


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each unit has to do with a number.

    Attributes:
        kind: What the units are.
        technique: How it was found.
        names: One a unit.
        values: One a unit, float64, in the unit of the metric.
        whole: The metric with all units.
        nothing: The metric without any, baselines in their places.
    """

    kind: str
    technique: str
    names: tuple[str, ...]
    values: Tensor
    whole: float
    nothing: float

    @property
    def missing(self) -> float | None:
        """What the values leave unexplained of the difference between all units and none; 0 if they are complete.

        None where values are sizes, which do not add up.
        """
        is_size = self.technique in TECHNIQUES and TECHNIQUES[self.technique].is_size
        return None if is_size else self.whole - self.nothing - float(self.values.sum())

    def largest(self, count: int) -> list[tuple[str, float]]:
        """The units with the largest values, by size; tokens in quotes, as some are blank.

        Args:
            count: How many.
        """
        order = self.values.abs().argsort(descending=True)[:count].tolist()
        shown = [repr(name) if self.kind == "tokens" else name for name in self.names]
        return [(shown[at], float(self.values[at])) for at in order]


def attribute(
    adapter: Adapter,
    sample: Sample,
    metric: Metric = log_probability,
    units: Units = TokenUnits(),  # noqa: B008  a frozen value
    technique: str = "integrated-gradients",
    effort: Effort = Effort(),  # noqa: B008  a frozen value
    steering: Steering = Steering(),  # noqa: B008  a frozen value
    steps: int | None = None,
) -> Attribution:
    """Share a number of a forward out among units.

    Args:
        adapter: The model.
        sample: A prompt with its output.
        metric: The number, such as the log-probability of the output (usual) or of words in it (`of_words`).
        units: What it is shared out among: tokens or patches, frames, components, features of a dictionary, or vectors.
        technique: One of `TECHNIQUES`.
        effort: How hard it tries.
        steering: What is applied all the while; units are taken away from what the model makes before it is pushed.
        steps: How many output steps were allowed where the output was made: schedules in percent are of them, and one
            that rests in an output as short as this is no error. None where that is not known.

    Raises:
        AttributionError: The sample has no output, the technique is unknown or not for parts of a forward or for these,
            or there are no such units.
    """
    run = asked_of(technique, "parts").run
    check_states(technique, units.are_states)
    if sample.output is None:
        raise AttributionError(f"{sample.id}: nothing is known of an output that is not given; generate one first")
    with hooks.frozen(adapter.model), steer(adapter, steering) as session:
        function = _Function(adapter, sample, metric, units, session, steps)
        count = len(function.names)
        values = run(function, count, effort) if run else function.sizes()
        with torch.no_grad():
            ends = function(torch.stack([torch.ones(count), torch.zeros(count)])).tolist()
    return Attribution(units.kind, technique, function.names, values, ends[0], ends[1])


class _Function:
    """The metric as a function of the shares of units."""

    def __init__(
        self,
        adapter: Adapter,
        sample: Sample,
        metric: Metric,
        units: Units,
        session: Session,
        steps: int | None,
    ) -> None:
        self._adapter, self._sample, self._metric, self._units = adapter, sample, metric, units
        self._session, self._steps = session, steps
        self._readings: dict[int, Any] = {}
        reading = self._reading(1)
        with session.call(reading.call), layouts(adapter, adapter.generator, reading) as found:
            adapter.read(reading, logits="outputs")
        self._tokens = tokens_of(adapter, adapter.generator, found[-1])
        self.names = units.names(adapter, self._tokens, adapter.tokens(reading)[0])
        self._sites = tuple(units.edits(adapter, torch.ones(1, len(self.names)), lambda: self._tokens))
        check_stack(adapter, self._sites)

    def __call__(self, shares: Tensor) -> Tensor:
        return self._asked(len(shares), lambda shown: self._units.edits(self._adapter, shares, shown)).cpu()

    def sizes(self) -> Tensor:
        """The norm of the gradient in the state of each unit, (units,)."""
        added: dict[Site, Tensor] = {}

        def seen(site: Site) -> hooks.Edit:
            def edit(hidden: Tensor) -> Tensor:
                added[site] = torch.zeros_like(hidden, requires_grad=True)
                return hidden + added[site]

            return edit

        with torch.enable_grad():
            number = self._asked(1, lambda shown: {site: seen(site) for site in self._sites})
            slopes = torch.autograd.grad(number.sum(), list(added.values()))
        units = cast(StateUnits, self._units)  # directions are refused before
        return units.sizes(self._adapter, dict(zip(added, slopes, strict=True)), self._tokens).double().cpu()

    def _asked(self, rows: int, edits: Callable[[Shown], Mapping[Site, hooks.Edit]]) -> Tensor:
        """The metric of as many rows, with hidden states edited."""
        adapter, reading = self._adapter, self._reading(rows)
        with ExitStack() as exits:
            exits.enter_context(self._session.call(reading.call))
            found = exits.enter_context(layouts(adapter, adapter.generator, reading))

            def shown() -> Tokens:
                return tokens_of(adapter, adapter.generator, found[-1])

            exits.enter_context(hooks.edits({adapter.port(site): edit for site, edit in edits(shown).items()}))
            logits = adapter.read(reading, gradient=torch.is_grad_enabled(), logits="outputs")
        return self._metric(output_tokens(adapter, reading, found[-1], logits))

    def _reading(self, rows: int) -> Any:
        if rows not in self._readings:
            self._readings[rows] = self._adapter.reading([self._sample] * rows).within(self._steps)
        return self._readings[rows]
