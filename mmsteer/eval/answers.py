"""Records of benchmark files, JSON lines or one JSON array, each with its line; and answers joined to them by id."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsteer.errors import EvalError

Id = int | str


@dataclass(frozen=True)
class Row:
    """One record and where it stands.

    Attributes:
        path: Its file.
        line: The line it begins on, from 1.
        fields: What it says.
    """

    path: Path
    line: int
    fields: Mapping[str, Any]

    @property
    def where(self) -> str:
        """`file:line`, as errors begin."""
        return f"{self.path}:{self.line}"

    def id(self, key: str) -> Id:
        """An identifier; "12" and 12 are the same one.

        Args:
            key: The field.

        Raises:
            EvalError: It is neither a whole number nor a string.
        """
        value = self.fields[key]
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise EvalError(f"{self.where}: {key} is {value!r}; give a whole number or a string")
        return int(value) if str(value).isdecimal() else value

    def text(self, key: str) -> str:
        """A string.

        Args:
            key: The field.

        Raises:
            EvalError: It is something else.
        """
        value = self.fields[key]
        if not isinstance(value, str):
            raise EvalError(f"{self.where}: {key} is {value!r}; give a string")
        return value

    def word(self, key: str, allowed: Collection[str]) -> str:
        """One of several words, whatever its case.

        Args:
            key: The field.
            allowed: The words, in lower case.

        Raises:
            EvalError: It is none of them.
        """
        value = str(self.fields[key]).strip().lower()
        if value not in allowed:
            raise EvalError(f"{self.where}: {key} is {self.fields[key]!r}; it must be one of {', '.join(allowed)}")
        return value


def read_rows(path: str | Path, keys: Collection[str], what: str) -> tuple[Row, ...]:
    """Every record of a file of JSON lines or of one JSON array, whichever it is.

    Args:
        path: The file.
        keys: The fields that each record must have.
        what: What a record is, for errors, such as `a POPE question`.

    Raises:
        EvalError: The file is missing, empty or broken, or a record lacks a field.
    """
    path = Path(path)
    text = read_text(path)
    read = _array if text.lstrip().startswith("[") else _lines
    rows = tuple(read(path, text))
    if not rows:
        raise EvalError(f"{path} is empty; each record is {what} with {', '.join(keys)}")
    for row in rows:
        missing = [key for key in keys if key not in row.fields]
        if missing:
            raise EvalError(
                f"{row.where}: {what} has {', '.join(keys)}; this record lacks {', '.join(missing)} "
                f"and has {', '.join(sorted(row.fields)) or 'nothing'}. Is it a file of another benchmark?"
            )
    return rows


def read_answers(path: str | Path, known: Collection[Id], *, key: str, value: str) -> dict[Id, str | None]:
    """Answers by the id of their question; null is no answer.

    Args:
        path: JSON lines or a JSON array of records with both fields.
        known: The ids of the questions.
        key: The field with the id.
        value: The field with the answer.

    Raises:
        EvalError: An id is unknown or comes twice, or a record is broken.
    """
    rows = read_rows(path, (key, value), "an answer")
    return {id_: None if row.fields[value] is None else row.text(value) for id_, row in by_id(rows, key, known).items()}


def by_id(rows: Collection[Row], key: str, known: Collection[Id] | None = None) -> dict[Id, Row]:
    """Records by their id.

    Args:
        rows: The records.
        key: The field with the id.
        known: The ids that may come; None for any.

    Raises:
        EvalError: An id is unknown or comes twice.
    """
    found: dict[Id, Row] = {}
    for row in rows:
        one = row.id(key)
        if one in found:
            raise EvalError(f"{row.where}: {key} {one!r} came before, on line {found[one].line}; answer each once")
        if known is not None and one not in known:
            raise EvalError(f"{row.where}: no question has {key} {one!r}; are these answers to other questions?")
        found[one] = row
    return found


def read_text(path: Path) -> str:
    """The text of a file.

    Args:
        path: The file, in UTF-8.

    Raises:
        EvalError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise EvalError(f"{path}: cannot be read ({error.strerror}); give a file of JSON lines or JSON") from None
    except UnicodeDecodeError:
        raise EvalError(f"{path} is not UTF-8 text; give a file of JSON lines or JSON") from None


def read_json(path: str | Path) -> Any:
    """One JSON value.

    Args:
        path: The file.

    Raises:
        EvalError: It cannot be read or is not JSON.
    """
    path = Path(path)
    try:
        return _DECODER.decode(read_text(path))
    except json.JSONDecodeError as error:
        raise EvalError(_broken(path, error.lineno, error.msg)) from None


def sha256(path: str | Path) -> str:
    """The hash of a file, which says which version of a benchmark it is.

    Args:
        path: The file.
    """
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


_DECODER = json.JSONDecoder()


def _lines(path: Path, text: str) -> Iterator[Row]:
    # Not splitlines: a caption may hold U+2028 and the like, which end no record.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = _DECODER.decode(line)
            except json.JSONDecodeError as error:
                raise EvalError(_broken(path, number, error.msg)) from None
            yield _row(path, number, value)


def _array(path: Path, text: str) -> Iterator[Row]:
    # The elements one by one, so that each knows its line.
    try:
        values = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise EvalError(_broken(path, error.lineno, error.msg)) from None
    at, line, start = text.index("["), 1, 0
    for value in values:
        at = _next(text, at + 1)
        line += text.count("\n", start, at)
        start = at
        yield _row(path, line, value)
        at = _next(text, _DECODER.raw_decode(text, at)[1])


def _next(text: str, at: int) -> int:
    while text[at].isspace():
        at += 1
    return at


def _row(path: Path, line: int, value: Any) -> Row:
    if not isinstance(value, dict):
        raise EvalError(f"{path}:{line}: a record is a JSON object, such as {{...}}; this is {str(value)[:40]!r}")
    return Row(path, line, value)


def _broken(path: Path, line: int, message: str) -> str:
    return f"{path}:{line}: not JSON ({message}); write one JSON object a line, or one JSON array"
