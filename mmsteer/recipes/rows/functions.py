"""Functions of one's own that score outputs: what they are known by, and the numbers that they give."""

import math
from collections.abc import Callable, Sequence
from types import CellType, CodeType
from typing import Any

from mmsteer.errors import EvalError, clip
from mmsteer.types import content_digest

Function = Callable[[Any], Any]


def called(function: Function) -> str:
    """The name of a function."""
    return getattr(function, "__name__", type(function).__name__)


def rated(name: str, function: Function, output: Any) -> float | None:
    """What a function makes of an output; None where it says that nothing can be told.

    Args:
        name: The metric.
        function: The function.
        output: An answer, or an `Audio`.

    Raises:
        EvalError: The function fails, or gives no finite number.
    """
    try:
        value = function(output)
        number = math.nan if isinstance(value, str) else 0.0 if value is None else float(value)
    # Whatever somebody's function raises: which metric it was would be unknown.
    except Exception as cause:
        raise EvalError(f"{name}: {called(function)} failed: {type(cause).__name__}: {cause}") from cause
    if not math.isfinite(number):
        raise EvalError(
            f"{name}: {called(function)} gives {clip(str(value))}, which is no finite number; give None where nothing "
            "can be said"
        )
    return None if value is None else number


def function_digest(function: Function) -> str:
    """A short hash of what a function does: its code, defaults, and the plain values and functions that it encloses.

    What it finds by name when it runs, such as another function of a module, counts by that name; so does a callable
    without code of its own.

    Args:
        function: The function.
    """
    return content_digest(_content(function, ()))


def _content(value: Any, within: Sequence[Any]) -> Any:
    if isinstance(value, CodeType):
        return ["code", value.co_code, value.co_names, _content(value.co_consts, within)]
    if isinstance(value, str | bytes | int | float | complex | None):
        return [type(value).__name__, repr(value)]
    if isinstance(value, tuple | list):
        return [type(value).__name__, *(_content(one, within) for one in value)]
    if isinstance(value, set | frozenset):
        return [type(value).__name__, *sorted(map(repr, value))]
    if isinstance(value, dict):
        return {repr(key): _content(one, within) for key, one in value.items()}
    if hasattr(value, "__code__") and not any(value is one for one in within):
        return _of_function(value, (*within, value))
    return [getattr(value, "__module__", ""), getattr(value, "__qualname__", type(value).__qualname__)]


def _of_function(function: Any, within: Sequence[Any]) -> list[Any]:
    enclosed = [_enclosed(cell) for cell in function.__closure__ or ()]
    given = [function.__code__, function.__defaults__, function.__kwdefaults__, enclosed]
    return [called(function), *(_content(one, within) for one in given)]


def _enclosed(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # its variable has no value yet
        return None
