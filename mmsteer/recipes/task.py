"""The contract of the loop: everything that is generated and scored is a task on an adapter."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from mmsteer.recipes.folder import RunFolder
from mmsteer.recipes.plan import Planned
from mmsteer.recipes.scoring import Line, Scored
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Sample


class Task(Protocol):
    """What is given to a model, how outputs are sampled, and how they are scored.

    Attributes:
        ITEM: The key of a line that says which item it is about, such as `prompt`.
        OWN: What stands for nothing in the keys of conditions that only tasks of this kind know.
    """

    ITEM: ClassVar[str]
    OWN: ClassVar[Mapping[str, Any]]

    @property
    def items(self) -> Sequence[Any]:
        """What is generated from, such as prompts or images; each has an `index`."""

    @property
    def adapter(self) -> Any:
        """The model."""

    @property
    def batch(self) -> int:
        """Items that are generated together."""

    @property
    def guidance(self) -> float:
        """Scale of classifier-free guidance, 1 for none."""

    def check(self) -> None:
        """Refuse what this model cannot do."""

    def check_attribute(self, item: Attribute) -> None:
        """Refuse an attribute whose schedule or positions make no sense for this model."""

    def describe(self, folder: RunFolder) -> None:
        """Write down what is generated from, once for the run."""

    def make(self, planned: Planned, steering: Steering, items: Sequence[Any]) -> tuple[dict[str, bytes], Line]:
        """Generate a batch: files to write, and what the batch's line holds (`receipt`; `outputs`, one an item)."""

    def line(self, path: Path, planned: Planned, item: Any, output: Any) -> dict[str, Any]:
        """Judge one finished item: its line of `samples.jsonl`, but for the names of condition and item."""

    def contexts(self, path: Path, planned: Planned, items: Sequence[Any], outputs: Sequence[Any]) -> list[Sample]:
        """Unsteered outputs as the contexts along which divergence is measured."""

    def scores(self, members: Sequence[Scored]) -> dict[str, Any]:
        """The parts of a row of `scores.json` that finished conditions give: `metrics`, beside their controls."""

    def traces(self, steering: Steering, lines: Sequence[Line], unsteered: Sequence[Line] | None) -> dict[str, Any]:
        """What was scheduled, and what came of it over time."""
