"""One row of a batch: what is asked for, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mmsteer.errors import MmsteerError
from mmsteer.steering import Receipt, Steering
from mmsteer.types import Sample, Sampling

Kind = tuple[object, ...]


@dataclass(frozen=True)
class Piece:
    """Words of an answer, as they come.

    Attributes:
        text: The words.
    """

    text: str


@dataclass(frozen=True)
class Made:
    """An answer is whole.

    Attributes:
        text: What was not sent as pieces.
        finish: `stop`, or `length` where it was cut.
        tokens: How many were made, the one that ends an answer included.
        receipt: What was applied.
        rows: Of its batch.
    """

    text: str
    finish: str
    tokens: int
    receipt: Receipt
    rows: int


@dataclass(frozen=True)
class Failed:
    """There will be no answer.

    Attributes:
        error: Why.
    """

    error: MmsteerError


Event = Piece | Made | Failed


@dataclass(eq=False)
class Job:
    """One answer that is asked for.

    Attributes:
        sample: The prompt.
        sampling: With the length of the answer, in tokens.
        seed: Of what is drawn.
        steering: Its own.
        stops: Texts that end it.
        given: Tokens of the prompt.
        streams: Whether its words are sent as they come.
        emit: Takes what comes of it, in the thread of the batcher.
        is_cancelled: Whether nobody waits for it any more.
        has_begun: Whether something of it was sent.
        is_over: Whether all of it was, or that there will be nothing.
    """

    sample: Sample
    sampling: Sampling
    seed: int
    steering: Steering
    stops: tuple[str, ...]
    given: int
    streams: bool
    emit: Callable[[Event], None]
    is_cancelled: bool = False
    has_begun: bool = field(default=False, init=False)
    is_over: bool = field(default=False, init=False)

    @property
    def tokens(self) -> int:
        """Most tokens of the answer."""
        assert self.sampling.tokens is not None
        return self.sampling.tokens

    @property
    def kind(self) -> Kind:
        """Jobs of one kind can share a batch: drawn alike, with a steering that is the same beside longer answers."""
        drawn = replace(self.sampling, tokens=None)
        return (drawn, bool(self.sample.images), self.tokens if self._needs_length else None)

    @property
    def _needs_length(self) -> bool:
        # A schedule in fractions of the output; and of a single token `generated` selects nothing, which is refused.
        return self.tokens == 1 or any(item.schedule.needs_length for item in self.steering.attributes)

    def put(self, event: Event) -> None:
        """Send what comes of it.

        Args:
            event: What comes.
        """
        self.has_begun = True
        self.is_over = not isinstance(event, Piece)
        self.emit(event)
