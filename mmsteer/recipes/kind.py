"""What differs between the kinds of recipes: everything else about a run is the same for all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mmsteer.probes import TargetKind
from mmsteer.recipes.expand import Condition
from mmsteer.recipes.problems import Problem
from mmsteer.recipes.task import Task
from mmsteer.tasks import Labelled


class Kind(Protocol):
    """A kind of recipe, before its model is loaded.

    Attributes:
        SCHEMA: What a recipe of this kind may say.
        ENTRY: What one entry of its directions may say.
        SOURCE: The key of a recipe that says what is generated from, such as `prompts`.
        OWN: The keys of a table of conditions that only this kind knows, with what stands for nothing.
        TARGET_KIND: What kind of question the labels of its samples answer.
        POOLS: How states are pooled for a probe.
        CONTROLS: The controls of this kind, beside unsteered and random.
    """

    SCHEMA: Any
    ENTRY: Any
    SOURCE: str
    OWN: Mapping[str, Any]
    TARGET_KIND: TargetKind
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

    def identity(self, recipe: Any) -> dict[str, Any]:
        """The recipe as plain data in which contents stand for the names of files."""

    def files(self, recipe: Any) -> tuple[Path, ...]:
        """The files of data whose digests the run's environment should state."""

    def task(self, recipe: Any, adapter: Any, source: Any) -> Task:
        """What the model is given of a source, the recipe's own or the one that conditions are tried on."""
