"""The rendered worlds as sources of rows, by what a model takes and makes."""

from collections.abc import Mapping
from typing import Protocol

from mmsteer.errors import DataError
from mmsteer.tasks import Row, RowSet
from mmsteer.types import Adapter
from mmsteer.worlds.music.rows import MusicWorld
from mmsteer.worlds.scenes.rows import SceneWorld


class World(Protocol):
    """A source of rows whose truth is known because it renders them."""

    def rewarded(self, reward: str, n: int, seed: int) -> RowSet:
        """Rows to be answered and judged by a reward; the first half to learn from, the rest to test on."""

    def archetype(self, reward: str, seed: int) -> Row | None:
        """A row whose output earns a reward; None where none is known."""

    def instructed(self, reward: str, n: int, seed: int) -> RowSet:
        """Pairs with and without the instruction that a reward checks, and rows without it to test on."""

    def described(self) -> RowSet:
        """Rows with outputs to look features up in, and rows to steer."""

    def measured(self, learned: int, tested: int) -> RowSet:
        """Rows that effects are measured on, and rows to test on."""

    def detected(self, concept: str, clips: int, scenes: int, seed: int) -> RowSet:
        """Rows with labels, or images whose objects are known."""

    def labelled(self, concept: str, per_label: int, prompts: int, seed: int) -> RowSet:
        """Clips of every label, and prompts that leave it open; refused where nothing makes audio."""

    def pictured(self, sizes: Mapping[str, int], seed: int) -> RowSet:
        """Images whose objects are known, by split; refused where nothing is seen."""


def world_of(adapter: Adapter) -> World:
    """The world of a model.

    Args:
        adapter: The model.

    Raises:
        DataError: It reads and writes text alone, for which nothing is rendered.
    """
    if adapter.output_kind == "audio":
        return MusicWorld()
    if adapter.sees:
        return SceneWorld()
    raise DataError(
        "a language model has no rendered world: give --data rows.jsonl, and --reward where answers are judged"
    )
