"""Records of benchmark files, JSON lines or one JSON array, each with its line; and answers joined to them by id."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsteer import json_lines
from mmsteer.errors import EvalError, clip, shorten

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
            raise EvalError(f"{self.where}: {key} is {clip(value)}; give a whole number or a string")
        return int(value) if str(value).isdecimal() and len(str(value)) <= json_lines.DIGITS else value

    def text(self, key: str) -> str:
        """A string.

        Args:
            key: The field.

        Raises:
            EvalError: It is something else.
        """
        value = self.fields[key]
        if not isinstance(value, str):
            raise EvalError(f"{self.where}: {key} is {clip(value)}; give a string")
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
            raise EvalError(f"{self.where}: {key} is {clip(self.fields[key])}; it must be one of {', '.join(allowed)}")
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
    rows = tuple(Row(path, line, fields) for line, fields in json_lines.read_records(path, EvalError))
    if not rows:
        raise EvalError(f"{path} is empty; each record is {what}{' with ' if keys else ''}{', '.join(keys)}")
    for row in rows:
        _check_keys(row, keys, what)
    return rows


def _check_keys(row: Row, keys: Collection[str], what: str) -> None:
    missing = [key for key in keys if key not in row.fields]
    if missing:
        there = ", ".join(map(shorten, sorted(row.fields)[:20])) or "nothing"
        raise EvalError(
            f"{row.where}: {what} has {', '.join(keys)}; this record lacks {', '.join(missing)} and has {there}. "
            "Is it a file of another benchmark?"
        )


IDS, SAID = ("question_id", "id"), ("answer", "text", "response")


def read_answers(path: str | Path, questions: Mapping[Id, str | None]) -> dict[Id, str | None]:
    """Answers by the id of their question, in any public layout, told apart by its keys; null is no answer.

    `{"question_id" or "id", "answer" or "text" or "response"}` is POPE's, LLaVA's (with more keys) and AMBER's; POPE's
    own `{"question", "answer"}` has no id, so its records must be as many as the questions and ask them in their order.

    `path`: JSON lines or a JSON array of records of one layout.
    `questions`: the text of each question by its id, None where it is not known.

    Raises:
        EvalError: An id is unknown or comes twice, a record is broken, or the records answer other questions.
    """
    rows = read_rows(path, (), "an answer")
    id_key, value_key = _layout(rows[0])
    for row in rows:
        _check_keys(row, (id_key, value_key), "an answer")
    named = by_id(rows, id_key, questions) if id_key in IDS else _in_order(rows, questions)
    return {id_: None if row.fields[value_key] is None else row.text(value_key) for id_, row in named.items()}


def _layout(row: Row) -> tuple[str, str]:
    id_key = next((key for key in (*IDS, "question") if key in row.fields), None)
    value_key = next((key for key in SAID if key in row.fields), None)
    if "label" in row.fields and value_key in (None, "text"):
        raise EvalError(f"{row.where}: this record has a label: it is a question; give the answers to it")
    if id_key is None or value_key is None or (id_key == "question" and value_key != "answer"):
        there = ", ".join(map(shorten, sorted(row.fields)[:20])) or "nothing"
        raise EvalError(
            f"{row.where}: an answer has question_id or id, and answer, text or response (or question and "
            f"answer, in the order of the questions); this record has {there}. Is it a file of another benchmark?"
        )
    return id_key, value_key


def _in_order(rows: Sequence[Row], questions: Mapping[Id, str | None]) -> dict[Id, Row]:
    if len(rows) != len(questions):
        raise EvalError(
            f"{rows[0].path}: {len(rows)} answers without ids to {len(questions)} questions; such answers are "
            "taken in the order of the questions, so give one to each"
        )
    for row, asked in zip(rows, questions.values(), strict=True):
        if asked is not None and " ".join(row.text("question").split()) != " ".join(asked.split()):
            raise EvalError(f"{row.where}: answers {clip(row.fields['question'])}; the question here is {clip(asked)}")
    return dict(zip(questions, rows, strict=True))


def by_id(rows: Collection[Row], key: str, known: Collection[Id] | None = None) -> dict[Id, Row]:
    """Records by their id.

    `known`: the ids that may come; None for any.

    Raises:
        EvalError: An id is unknown or comes twice.
    """
    found: dict[Id, Row] = {}
    for row in rows:
        one = row.id(key)
        if one in found:
            raise EvalError(f"{row.where}: {key} {clip(one)} came before, on line {found[one].line}; answer each once")
        if known is not None and one not in known:
            raise EvalError(f"{row.where}: no question has {key} {clip(one)}; are these answers to other questions?")
        found[one] = row
    return found


def read_text(path: str | Path) -> str:
    """The text of a file.

    `path`: the file, in UTF-8.

    Raises:
        EvalError: It cannot be read.
    """
    return json_lines.read_text(path, EvalError)


def read_json(path: str | Path, hook: json_lines.Hook | None = None) -> Any:
    """One JSON value.

    Raises:
        EvalError: It cannot be read or is not JSON.
    """
    return json_lines.read_json(path, EvalError, hook=hook)


def sha256(path: str | Path) -> str:
    """The hash of a file, which says which version of a benchmark it is."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
