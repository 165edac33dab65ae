"""JSON and JSON lines from files of any origin: every reader of the library that takes JSON goes through here.

Strict (RFC 8259, UTF-8, no NaN, no number beyond float64, no key twice in an object) and within limits, so that a
broken or hostile file costs one error with `file:line`, not the memory or a traceback. Lines end at line feeds alone: a
caption may hold U+2028 and the like. Only regular files are read; a named pipe or a device would block or never end.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from mmsteer.errors import DataError, MmsteerError, clip
from mmsteer.regular_file import open_regular

FILE_BYTES = 2 << 30  # of a file that is read whole: the largest public one, COCO's instances_train2014, has 0.35 GB
LINE_BYTES = 32 << 20  # of one line of JSON lines: a conversation with pictures in base64 fits
DEPTH = 100  # objects and lists within one another
DIGITS = 300  # of a whole number: float64 ends there

ErrorType = type[MmsteerError]
Hook = Callable[[dict[str, Any]], Any]

_STRING = r'"(?:[^"\\]++|\\.)*+"?'
_MARKS = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_SPACE = re.compile(r"[ \t\n\r]*")
_NAMES = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "a list", type(None): "null"}


def read_json(path: str | Path, error: ErrorType = DataError, *, hook: Hook | None = None) -> Any:
    """The one JSON value of a file.

    Args:
        path: A regular file in UTF-8, of at most 2 GiB.
        error: What is raised.
        hook: Replaces every object by what it returns.

    Raises:
        MmsteerError: As `error`: the file cannot be read, is no strict JSON, or exceeds a limit.
    """
    return parse_json(read_text(path, error), str(path), error, hook=hook)


def read_json_lines(path: str | Path, error: ErrorType = DataError) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines with their line numbers, one after the other; blank lines are skipped.

    Args:
        path: A regular file in UTF-8 of any length; a line has at most 32 MiB.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: the file cannot be read, or a line is no JSON object or exceeds a limit.
    """
    with _open(path, error) as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES + 1), b""), 1):
            where = f"{path}:{number}"
            if len(line) > LINE_BYTES:
                raise error(f"{where}: a line of more than {LINE_BYTES >> 20} MiB; write one record a line")
            text = _decoded(line, path, number, error)
            if text.strip():
                yield number, _object(parse_json(text, where, error, numbered=False), where, error)


def read_records(path: str | Path, error: ErrorType = DataError) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines or of one JSON array, whichever it is, with the lines they begin on.

    Args:
        path: A regular file in UTF-8.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: the file cannot be read, is neither, or exceeds a limit.
    """
    with _open(path, error) as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    return _array(path, error) if start.startswith(b"[") else read_json_lines(path, error)


def read_text(path: str | Path, error: ErrorType = DataError) -> str:
    """The text of a regular file in UTF-8, without a byte order mark.

    Args:
        path: The file, of at most 2 GiB.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: it cannot be read or is too large.
    """
    with _open(path, error) as file:
        if os.fstat(file.fileno()).st_size > FILE_BYTES:
            raise error(f"{path}: more than {FILE_BYTES >> 30} GiB; split it, or write JSON lines")
        data = file.read(FILE_BYTES)
    return _decoded(data, path, 1, error)


def parse_json(
    text: str, where: str, error: ErrorType = DataError, *, hook: Hook | None = None, numbered: bool = True
) -> Any:
    """One JSON value, under the same rules.

    Args:
        text: JSON.
        where: Where it came from, for the error.
        error: What is raised.
        hook: Replaces every object by what it returns.
        numbered: Whether the error adds the line within the text.

    Raises:
        MmsteerError: As `error`: it is no strict JSON or exceeds a limit.
    """
    _check_depth(text, where, error, numbered)
    try:
        return _decoder(hook).decode(text)
    except json.JSONDecodeError as broken:
        at = f"{where}:{broken.lineno}" if numbered else where
        raise error(f"{at}: not JSON ({broken.msg}); {_ADVICE}") from None
    except _RuleError as broken:
        line = f":{broken.line(text)}" if numbered and broken.token else ""
        raise error(f"{where}{line}: {broken}") from None


def count_values(value: Any) -> int:
    """How many values JSON is made of, itself included; each may cost an error where it is checked against a form.

    Args:
        value: Parsed JSON.

    >>> count_values({"a": [1, 2], "b": "x"})
    5
    """
    waiting, found = [value], 0
    while waiting:
        one = waiting.pop()
        found += 1
        waiting.extend(one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
    return found


_ADVICE = "write one JSON object a line, or one JSON value a file"


class _RuleError(Exception):
    """What the grammar of JSON allows and this module does not; `token` is the number that does."""

    def __init__(self, message: str, token: str | None = None) -> None:
        super().__init__(message)
        self.token = token

    def line(self, text: str) -> int:
        found = re.finditer(f"{_STRING}|{re.escape(self.token or '')}", text, re.DOTALL)
        return text.count("\n", 0, next(one.start() for one in found if one[0][0] != '"')) + 1


def _decoder(hook: Hook | None = None) -> json.JSONDecoder:
    def unique(pairs: list[tuple[str, Any]]) -> Any:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise _RuleError(f"the key {clip(twice)} comes twice in one object; keep one")
        return found if hook is None else hook(found)

    return json.JSONDecoder(object_pairs_hook=unique, parse_int=_int, parse_float=_float, parse_constant=_constant)


def _int(text: str) -> int:
    if len(text) > DIGITS:
        raise _RuleError(f"a number of {len(text)} digits; at most {DIGITS} are read. Write it as a string", text)
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise _RuleError(f"the number {clip(text)} is beyond float64; write null for what has no value", text)
    return value


def _constant(text: str) -> NoReturn:
    raise _RuleError(f"{text} is no JSON; write null for what has no value", text)


def _check_depth(text: str, where: str, error: ErrorType, numbered: bool) -> None:
    if text.count("[") + text.count("{") <= DEPTH:
        return
    depth = 0
    for mark in _MARKS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
        if depth > DEPTH:
            at = f"{where}:{text.count(chr(10), 0, mark.start()) + 1}" if numbered else where
            raise error(f"{at}: more than {DEPTH} lists and objects within one another; write flat records")


def _array(path: str | Path, error: ErrorType) -> Iterator[tuple[int, dict[str, Any]]]:
    """The elements one by one, so that each knows its line."""
    text = read_text(path, error)
    _check_depth(text, str(path), error, numbered=True)
    decoder, line, counted = _decoder(), 1, 0
    at = _next(text, text.index("[") + 1)
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        where = f"{path}:{line}"
        try:
            value, stop = decoder.raw_decode(text, at)
        except json.JSONDecodeError as broken:
            raise error(f"{path}:{broken.lineno}: not JSON ({broken.msg}); {_ADVICE}") from None
        except _RuleError as broken:
            raise error(f"{where}: {broken}") from None
        yield line, _object(value, where, error)
        at = _after(text, _next(text, stop), path, error)
    if text[at + 1 :].strip():
        raise error(f"{path}:{text.count(chr(10), 0, at) + 1}: not JSON (more after the array); {_ADVICE}")


def _after(text: str, at: int, path: str | Path, error: ErrorType) -> int:
    """The place of the next element, or of the bracket that closes the array."""
    behind = _next(text, at + 1)
    if text[at : at + 1] == "]":
        return at
    if text[at : at + 1] == "," and text[behind : behind + 1] not in ("]", ""):
        return behind
    line = text.count("\n", 0, at) + 1
    raise error(f"{path}:{line}: not JSON (expecting ',' and a record, or ']'); {_ADVICE}")


def _next(text: str, at: int) -> int:
    return at if (space := _SPACE.match(text, at)) is None else space.end()


def _object(value: Any, where: str, error: ErrorType) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise error(f"{where}: a record is a JSON object, such as {{...}}; this is {_NAMES[type(value)]}")
    return value


def _decoded(data: bytes, path: str | Path, line: int, error: ErrorType) -> str:
    try:
        return data.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as broken:
        line += data.count(b"\n", 0, broken.start)
        raise error(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from None


def _open(path: str | Path, error: ErrorType) -> BinaryIO:
    return open_regular(path, error, "give a file of JSON lines or JSON")
