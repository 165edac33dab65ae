"""The exception tree. Every error mmsteer raises on purpose is an `MmsteerError`.

A message says where, what came, what is allowed, and what to do about it.
"""

import reprlib
from typing import Any

LONGEST_LINE = 1000  # characters of one line of a message


class MmsteerError(Exception):
    """Base of all errors that mmsteer raises on purpose; lines of its text over 1,000 characters are cut."""

    def __str__(self) -> str:
        return "\n".join(shorten(line, LONGEST_LINE) for line in super().__str__().split("\n"))


def clip(value: Any, longest: int = 80) -> str:
    """A value of the input as an error repeats it: in quotes if a string, and cut in the middle if long.

    Args:
        value: What came.
        longest: Characters to keep of a string, and of the whole.

    >>> clip("a" * 20_000, 13)
    "'aaaa...aaaa'"
    """
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = longest
    return shorten(short.repr(value), longest)


def shorten(text: str, longest: int = 80) -> str:
    """A text, cut in the middle if long.

    Args:
        text: The text.
        longest: Characters to keep.
    """
    half = (longest - 3) // 2
    return text if len(text) <= longest else f"{text[:half]}...{text[-half:]}"


class SiteError(MmsteerError):
    """A site cannot be parsed, or the model has no such site."""


class PositionsError(MmsteerError):
    """A selection of token positions cannot be parsed, or selects nothing."""


class ScheduleError(MmsteerError):
    """A schedule cannot be parsed, or its numbers make no curve."""


class AttributionError(MmsteerError):
    """Units and technique of an attribution do not go together, or there is nothing to attribute to."""


class DirectionError(MmsteerError):
    """A direction or its file is broken, unsafe, or belongs to another model."""


class SteeringError(MmsteerError):
    """A steering plan cannot be applied, or was not applied as planned."""


class ProbeError(MmsteerError):
    """A probe cannot be fitted on the data it was given."""


class DictionaryError(MmsteerError):
    """A sparse dictionary or its file is broken, unsafe, or does not fit; or it cannot be trained as asked."""


class TrackingError(MmsteerError):
    """An experiment tracker is unknown, or its package is not installed."""


class AdapterError(MmsteerError):
    """A model is not supported, or an input does not fit it."""


class StoreError(MmsteerError):
    """Stored activations are missing, damaged, or from another recording."""


class DataError(MmsteerError):
    """A data file or a request for rendered data cannot be served."""


class EvalError(MmsteerError):
    """An evaluator cannot read what it should judge."""


class RecipeError(MmsteerError):
    """A recipe cannot be read, or does not describe an experiment."""


class WorkerError(MmsteerError):
    """Workers cannot be reached, or died too often at one piece of work."""


class RanksError(MmsteerError):
    """Processes that train together cannot go on."""


class EndedElsewhere(RanksError):
    """Another of the processes that train together failed, and says why."""


class ServingError(MmsteerError):
    """A request to the server cannot be answered.

    Attributes:
        status: The HTTP status.
        field: The field of the request that is to blame; None for no field.
        code: A word for programs.
        retry_after: Seconds after which it may be answered; None where that does not help.
    """

    def __init__(
        self,
        message: str,
        status: int = 400,
        *,
        field: str | None = None,
        code: str = "invalid_value",
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.field, self.code, self.retry_after = status, field, code, retry_after


class StudioError(MmsteerError):
    """What was asked for in the studio cannot be done."""
