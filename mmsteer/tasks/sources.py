"""Rows from JSON lines, or from a folder for each label."""

import difflib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmsteer.errors import DataError, EvalError, clip
from mmsteer.eval.text.captions import object_class
from mmsteer.json_lines import count_values, read_json_lines
from mmsteer.tasks.labelled import Labelled
from mmsteer.tasks.row import Row
from mmsteer.types import Adapter, Chat, Raw

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
AUDIO = (".wav", ".flac", ".ogg", ".mp3")
SHOWN = 20
"""Problems that an error lists."""
VALUES = 10_000
"""Most values of a row, in all the lists and objects of the keys that are read."""
FEWEST = 5
"""Sources of a label, for a probe to be fitted on some, chosen on others and judged on yet others."""

_Text = Annotated[str, Field(min_length=1)]
_MANY = ("id", "image", "label", "group")
"""Keys that take values of several types."""
_Names = str | Annotated[list[str], Field(min_length=1)]


class _Turn(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: str


class _Record(BaseModel):
    """The keys of a row; other columns are the writer's own."""

    model_config = ConfigDict(strict=True)
    id: str | int | None = None
    prompt: _Text | None = None
    messages: Annotated[list[_Turn], Field(min_length=1)] | None = None
    template: dict[str, Any] = {}
    raw: _Text | None = None
    image: _Names | None = None
    audio: _Text | None = None
    audio_prompt: Annotated[_Text | None, Field(alias="continue")] = None
    melody: _Text | None = None
    answer: str | None = None
    options: list[str] = []
    instructions: list[str] = []
    objects: list[_Text] | None = None
    attributes: dict[str, str] = {}
    label: str | bool | int | float | None = None
    group: str | int | None = None
    split: str | None = None


_KEYS = [field.alias or name for name, field in _Record.model_fields.items()]


def read_rows(path: str | Path, *, split: str | None = None) -> tuple[Row, ...]:
    """The rows of a file of JSON lines, or of a folder that holds a folder of audio or images for each label.

    A line has `prompt`, `messages` or `raw`; and `answer`, `image` (one or a list), `audio`, `continue`, `melody`,
    `options`, `instructions`, `objects` (classes of COCO that the image shows), `attributes` (of the clip, such as
    `{"tempo": "fast"}`), `label`, `group`, `split`, `id`, as far as it needs them. Music begins with the clip that
    `continue` names and follows that of `melody`; `audio` is what the model is taken to have made. Files are named
    relative to the file of lines. In a folder, a text file of a clip's or picture's name beside it holds its prompt.

    Args:
        path: The file or folder.
        split: Only rows of this part.

    Raises:
        DataError: Rows cannot be used; the message has a line for each, with its line number.
    """
    path = Path(path)
    rows = _of_folder(path) if path.is_dir() else _of_file(path)
    if split is not None:
        known = sorted({row.split for row in rows if row.split is not None})
        rows = [row for row in rows if row.split == split]
        if not rows:
            raise DataError(f"{path}: no row has the split {split!r}; splits here: {', '.join(known) or 'none'}")
    return tuple(rows)


def labelled(rows: Sequence[Row], adapter: Adapter) -> Labelled:
    """Rows as what a probe is fitted on.

    Rows without a `group` form one where they share prompt and images, as the two sides of a pair do; where all rows
    share them, each is a group of its own.

    Args:
        rows: Rows with labels.
        adapter: The model that reads them.

    Raises:
        DataError: A row has no label, or a label is too rare.
    """
    check_labels(rows)
    groups = sources_of(rows)
    samples = tuple(row.sample(adapter, answered=True) for row in rows)
    return Labelled(samples, tuple(row.label for row in rows), tuple(groups))


def check_labels(rows: Sequence[Row]) -> tuple[str, ...]:
    """The labels of rows, in order of first appearance.

    Args:
        rows: The rows.

    Raises:
        DataError: A row has no label, there is one label alone, or a label is too rare.
    """
    problems = [f"{row.place}: the row has no label" for row in rows if row.label is None]
    sources: dict[str, set[str]] = {}
    for row, source in zip(rows, sources_of(rows), strict=True):
        if row.label is not None:
            sources.setdefault(row.label, set()).add(source)
    counts = {label: len(some) for label, some in sources.items()}
    where = rows[0].place.rpartition(":")[0] or rows[0].place
    for label, count in counts.items():
        if count < FEWEST:
            problems.append(
                f"{where}: the label {clip(label)} has {count} of the {FEWEST} sources that it needs, to be found in "
                "some and judged on others; rows of one `group`, or of one prompt, are one source"
            )
    if len(counts) < 2 and not problems:
        problems.append(f"{where}: all rows have the label {clip(rows[0].label)}; a direction needs two labels or more")
    _refuse(problems)
    return tuple(counts)


def digest(rows: Sequence[Row]) -> str:
    """What tells rows from others: prompts, files by name, answers and what is true of them.

    Args:
        rows: The rows.
    """
    said = [[repr(row.prompt), [str(path) for path in row.files], repr(row.reference), row.label] for row in rows]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def sources_of(rows: Sequence[Row]) -> list[str]:
    """The source of each row: its group; else what rows of one prompt share; or the row, where all have one prompt.

    Args:
        rows: The rows.
    """
    shared = len({row.source for row in rows}) == 1
    return [row.group or (row.id if shared else repr(row.source)) for row in rows]


def _of_file(path: Path) -> list[Row]:
    rows: list[Row] = []
    problems: list[str] = []
    for number, record in read_json_lines(path):
        place = f"{path.name}:{number}"
        found = _problems(record, path.parent)
        problems += [f"{place}: {one}" for one in found]
        if len(problems) > SHOWN:
            raise DataError("\n".join([*problems[:SHOWN], f"and more; reading stopped at line {number}"]))
        if not found:
            rows.append(_row(_Record.model_validate(record), place, path.parent, number))
    if not rows and not problems:
        problems = [f"{path}: the file has no rows"]
    problems += _repeated(rows)
    _refuse(problems)
    return rows


def _problems(record: dict[str, Any], home: Path) -> list[str]:
    if len(record) + sum(count_values(record[key]) for key in _KEYS if key in record) > VALUES:
        return [f"the row has more than {VALUES} values; give fewer"]
    found = [
        f"there is no key {clip(key)}; did you mean {close[0]!r}?"
        for key in record
        if key not in _KEYS and (close := difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.8))
    ]
    try:
        row = _Record.model_validate(record)
    except ValidationError as error:
        # A key that may have several types has an error for each; the first one says enough.
        first = {_key(one): one for one in reversed(error.errors(include_url=False))}
        return found + [f"{key}: {one['msg']}, not {clip(one['input'])}" for key, one in reversed(first.items())]
    said = [name for name in ("prompt", "messages", "raw") if getattr(row, name) is not None]
    if len(said) > 1:
        found.append(f"{' and '.join(said)} are given; keep one of them")
    if not said and row.audio is None:
        found.append("the row has no text; give prompt, messages or raw, or audio")
    found += [f"objects: {problem}" for problem in _unknown(row.objects or [])]
    return found + [f"{name}: {problem}" for name in _files(row) for problem in _missing(home / name)]


def _unknown(objects: Sequence[str]) -> Iterator[str]:
    for name in objects:
        try:
            object_class(name)
        except EvalError as cause:
            yield str(cause)


def _key(error: Any) -> str:
    place = error["loc"]
    return str(place[0]) if place[0] in _MANY else ".".join(map(str, place))


def _missing(path: Path) -> list[str]:
    return [] if path.is_file() else ["there is no such file beside the rows"]


def _files(row: _Record) -> list[str]:
    images = [row.image] if isinstance(row.image, str) else row.image or []
    return [*images, *(name for name in (row.audio, row.audio_prompt, row.melody) if name is not None)]


def _row(record: _Record, place: str, home: Path, number: int) -> Row:
    images = [record.image] if isinstance(record.image, str) else record.image or []
    return Row(
        id=str(number if record.id is None else record.id),
        place=place,
        prompt=_prompt(record),
        images=tuple(home / name for name in images),
        audio=_beside(home, record.audio),
        audio_prompt=_beside(home, record.audio_prompt),
        melody=_beside(home, record.melody),
        answer=record.answer,
        options=tuple(record.options),
        instructions=tuple(record.instructions),
        objects=None if record.objects is None else frozenset(map(object_class, record.objects)),
        attributes=record.attributes,
        label=None if record.label is None else _label(record.label),
        group=None if record.group is None else str(record.group),
        split=record.split,
    )


def _beside(home: Path, name: str | None) -> Path | None:
    return None if name is None else home / name


def _label(label: str | int | float) -> str:
    # JSON has true and false, and people write them: as a direction's name they are yes and no.
    return {True: "yes", False: "no"}[label] if isinstance(label, bool) else str(label)


def _prompt(record: _Record) -> str | Chat | Raw | None:
    if record.raw is not None:
        return Raw(record.raw)
    if record.messages is not None:
        return Chat(tuple(turn.model_dump() for turn in record.messages), record.template)
    if record.template and record.prompt is not None:
        return Chat(({"role": "user", "content": record.prompt},), record.template)
    return record.prompt


def _repeated(rows: Sequence[Row]) -> Iterator[str]:
    first: dict[str, str] = {}
    for row in rows:
        if row.id in first:
            yield f"{row.place}: the id {clip(row.id)} stands at {first[row.id]} already"
        first.setdefault(row.id, row.place)


def _of_folder(path: Path) -> list[Row]:
    rows = []
    for folder in sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith(".")):
        for file in sorted(folder.iterdir()):
            kind = file.suffix.lower()
            if kind in (*IMAGES, *AUDIO):
                rows.append(_file_row(file, folder.name, is_image=kind in IMAGES))
    if not rows:
        raise DataError(f"{path}: no folder in it holds files that end in {', '.join((*AUDIO, *IMAGES))}")
    return rows


def _file_row(file: Path, label: str, *, is_image: bool) -> Row:
    name, beside = f"{label}/{file.name}", file.with_suffix(".txt")
    said = beside.read_text(encoding="utf-8").strip() if beside.is_file() else None
    if is_image:
        return Row(name, name, said or "Describe this image.", images=(file,), label=label)
    return Row(name, name, said, audio=file, label=label)


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise DataError("\n".join([*problems[:SHOWN], *more]))
