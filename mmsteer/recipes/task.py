"""The contract of the loop: everything that is generated and scored is a task on an adapter."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsteer.recipes.curves import check_curve, strength_curves
from mmsteer.recipes.folder import RunFolder
from mmsteer.recipes.plan import Planned
from mmsteer.recipes.scoring import Line, Scored
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Sample


@dataclass(frozen=True, eq=False)
class Task(ABC):
    """What is given to a model, how outputs are sampled, and how they are scored."""

    adapter: Any

    @property
    @abstractmethod
    def items(self) -> Sequence[Any]:
        """What is generated from, such as rows or images; each has an `index`."""

    @property
    @abstractmethod
    def chunk(self) -> int:
        """Items that are generated together."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Most steps of an output."""

    @property
    def guidance(self) -> float:
        """Scale of classifier-free guidance, 1 for none."""
        return 1.0

    @abstractmethod
    def check(self) -> None:
        """Refuse what this model cannot do."""

    def check_attribute(self, item: Attribute) -> None:
        """Refuse a schedule or positions under which nothing would be pushed."""
        check_curve(item, self.adapter, self.steps)

    @abstractmethod
    def check_own(self, own: Mapping[str, Any]) -> None:
        """Refuse what a condition is beside its steering, where this model cannot do it.

        `own`: The keys of `mmsteer.recipes.plan.NOTHING`.
        """

    @abstractmethod
    def describe(self, folder: RunFolder) -> None:
        """Write down what is generated from, once for the run."""

    @abstractmethod
    def make(self, planned: Planned, steering: Steering, items: Sequence[Any]) -> tuple[dict[str, bytes], Line]:
        """Generate a batch: files to write, and what the batch's line holds (`receipt`; `outputs`, one an item)."""

    @abstractmethod
    def line(self, path: Path, planned: Planned, item: Any, output: Any) -> dict[str, Any]:
        """Judge one finished item: its line of `samples.jsonl`, but for the names of condition and item."""

    @abstractmethod
    def contexts(self, path: Path, planned: Planned, items: Sequence[Any], outputs: Sequence[Any]) -> list[Sample]:
        """Unsteered outputs as the contexts along which divergence is measured."""

    @abstractmethod
    def scores(self, members: Sequence[Scored]) -> dict[str, Any]:
        """The parts of a row of `scores.json` that finished conditions give: `metrics`, beside their controls."""

    @abstractmethod
    def looked_at(self, lines: Sequence[Line], unsteered: Sequence[Line] | None) -> list[Line]:
        """Of a condition the outputs that the report shows first, in its order.

        `lines`: the condition's lines.
        `unsteered`: those of the unsteered run.
        """

    def traces(self, steering: Steering, lines: Sequence[Line], unsteered: Sequence[Line] | None) -> Mapping[str, Any]:
        """What was scheduled, and what came of it over time; here the strength of each attribute.

        `lines`: the condition's lines.
        `unsteered`: those of the unsteered run.
        """
        return strength_curves(steering, self.adapter, self.steps)
