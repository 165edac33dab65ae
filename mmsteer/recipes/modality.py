"""What differs between the kinds of recipes: everything else about a run is the same for all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mmsteer.probes import TargetKind
from mmsteer.recipes.expand import Condition
from mmsteer.recipes.folder import RunFolder
from mmsteer.recipes.plan import Planned
from mmsteer.recipes.problems import Problem
from mmsteer.recipes.scoring import Line, Scored
from mmsteer.steering import Attribute, Steering
from mmsteer.tasks import Labelled
from mmsteer.types import Sample


class Task(Protocol):
    """A recipe and its model, ready for work: what is generated, and how it is judged.

    An item is one thing to generate, such as a prompt or an image; it has an `index`.
    """

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
        """Refuse a recipe that asks of this model what it cannot do."""

    def check_attribute(self, item: Attribute) -> None:
        """Refuse an attribute whose schedule or positions make no sense for this model."""

    def describe(self, folder: RunFolder, items: Sequence[Any]) -> None:
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


class Modality(Protocol):
    """A kind of recipe, before its model is loaded.

    Attributes:
        SCHEMA: What a recipe of this kind may say.
        ENTRY: What one entry of its directions may say.
        SOURCE: The key of a recipe that says what is generated from, such as `prompts`.
        ITEM: The key of a line that says which item it is about, such as `prompt`.
        OWN: The keys of a table of conditions that only this kind knows, with what stands for nothing.
        TASK: What kind of question the labels of its samples answer.
        POOLS: How states are pooled for a probe.
        CONTROLS: The controls of this kind, beside unsteered and random.
    """

    SCHEMA: Any
    ENTRY: Any
    SOURCE: str
    ITEM: str
    OWN: Mapping[str, Any]
    TASK: TargetKind
    POOLS: tuple[str, ...]
    CONTROLS: tuple[str, ...]

    def located(self, recipe: Any, home: Path) -> Any:
        """The recipe with the files that it names as whole paths; those that are missing stay as they are."""

    def labels(self, entry: Any) -> tuple[str, ...]:
        """The labels of an entry's directions, before they are found."""

    def check_entry(self, entry: Any) -> None:
        """Refuse an entry of directions that cannot be found."""

    def samples(self, entry: Any, adapter: Any, control: str | None = None, seed: int = 0) -> Labelled:
        """What an entry's directions are found in; or what a control of some kind finds its own in."""

    def problems(self, recipe: Any, conditions: Sequence[Condition]) -> list[Problem]:
        """What is wrong with the parts that only this kind has."""

    def metric_names(self, recipe: Any, conditions: Sequence[Condition]) -> tuple[str, ...]:
        """The metrics that a run will give."""

    def items(self, recipe: Any, source: Any) -> tuple[Any, ...]:
        """What is generated from."""

    def identity(self, recipe: Any) -> dict[str, Any]:
        """The recipe as plain data in which contents stand for the names of files."""

    def files(self, recipe: Any) -> tuple[Path, ...]:
        """The files of data whose digests the run's environment should state."""

    def task(self, recipe: Any, adapter: Any) -> Task:
        """The recipe with its model."""
