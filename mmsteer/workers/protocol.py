"""Pieces, and what does them.

A piece is done the same wherever it is done: it knows all that its result depends on but for the model, and whoever
does it has the same one. Results come back to one process, the driver, which alone writes to folders.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from mmsteer.errors import WorkerError


@dataclass(frozen=True, eq=False)
class Held:
    """What a worker has, and pieces need.

    Attributes:
        adapter: The model.
        tasks: What is generated and scored, by name.
        kept: What pieces leave for the next ones, so that it is not computed again.
    """

    adapter: Any
    tasks: Mapping[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)

    def task(self, name: str) -> Any:
        """What is generated and scored.

        Args:
            name: Its name.

        Raises:
            WorkerError: This worker has another task.
        """
        if name not in self.tasks:
            have = ", ".join(self.tasks) or "none"
            raise WorkerError(f"this worker has no task {name!r} but {have}: its data, scorers or model are others")
        return self.tasks[name]


Start = Callable[[], Held]
"""Makes what a worker has, in its own process; can be pickled."""


class Piece(Protocol):
    """One piece of work, as a value that can be pickled; its text names it in errors."""

    def do(self, held: Held) -> Any:
        """The result, which can be pickled too."""


AnyPiece = TypeVar("AnyPiece", bound=Piece)


class Workers(ABC):
    """Does pieces, in any order."""

    apart: bool
    """Whether pieces are done elsewhere, so that the driver's own model does nothing."""

    @abstractmethod
    def map(self, pieces: Iterable[AnyPiece]) -> Iterator[tuple[AnyPiece, Any]]:
        """Each piece with its result, as soon as it is done."""

    def one(self, piece: Piece) -> Any:
        """The result of a single piece."""
        ((_, result),) = self.map([piece])
        return result


@dataclass(frozen=True, eq=False)
class Here(Workers):
    """This process, one piece after the other; none is begun before it is asked for."""

    held: Held
    apart = False

    def map(self, pieces: Iterable[AnyPiece]) -> Iterator[tuple[AnyPiece, Any]]:
        """Each piece with its result, in order."""
        return ((piece, piece.do(self.held)) for piece in pieces)
