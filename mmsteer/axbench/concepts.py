"""Concepts with examples, in the layout in which AxBench publishes them.

Tables have a row for each example: `input` and `output`, `output_concept` (the concept in words), `concept_genre`,
`category` (`positive`, `negative` or `hard negative`), `concept_id`, and others that are not needed here, such as
`dataset_category` and `sae_link`. Training negatives that all concepts share have the `concept_id` -1.

Source: Wu et al. 2025, AxBench, arXiv:2501.17148; the data sets
`pyvene/axbench-concept10`, `-concept500` and `-concept16k`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mmsteer.errors import DataError
from mmsteer.json_lines import read_records
from mmsteer.regular_file import open_regular
from mmsteer.types import Sample

SHARED = -1
"""The `concept_id` of negatives that all concepts share."""
PARTS = {
    "train": ("train", "train/data", "generate/train_data"),
    "test": ("test", "test/data", "inference/latent_eval_data"),
}
"""Where the tables of a folder lie, without the ends of their names: this project's, the hub's, and AxBench's own."""
ENDS = (".jsonl", ".json", ".parquet")


class _Record(BaseModel):
    model_config = ConfigDict(strict=True)
    input: str
    output: str
    output_concept: str
    concept_id: int
    category: Literal["positive", "negative", "hard negative"]
    concept_genre: str = "text"


@dataclass(frozen=True)
class Example:
    """An instruction and an answer to it.

    Attributes:
        input: The instruction.
        output: The answer.
        positive: Whether the concept is in the answer.
        hard: Whether a negative was written to be taken for a positive.
        given: The same as a sample, where the instruction has images or the answer is audio.
    """

    input: str
    output: str
    positive: bool
    hard: bool = False
    given: Sample | None = field(default=None, repr=False)

    def sample(self, name: str) -> Sample:
        """The example as a model reads it.

        Args:
            name: Of the sample.
        """
        return Sample(name, self.input, output=self.output) if self.given is None else replace(self.given, id=name)

    @property
    def is_blank(self) -> bool:
        """Whether there is no answer to read."""
        return self.given is None and not self.output.strip()


@dataclass(frozen=True)
class Concept:
    """A concept and its examples.

    Attributes:
        id: Its number.
        text: It in words.
        train: What it is found in.
        test: What is told apart, and what judges learn from; see `halves`.
        order: What the baseline that prompts puts behind an instruction; None for a system prompt.
    """

    id: int
    text: str
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    order: str | None = field(default=None, repr=False)

    def halves(self) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
        """The test in two halves, of which each has positives, negatives and hard negatives in turn.

        The first is what detection is measured on, the second what an offline judge learns the concept from.
        """
        kinds = [[one for one in self.test if (one.positive, one.hard) == kind] for kind in _KINDS]
        return tuple(one for kind in kinds for one in kind[::2]), tuple(one for kind in kinds for one in kind[1::2])


_KINDS = ((True, False), (False, False), (False, True))


def read_concepts(folder: str | Path) -> tuple[Concept, ...]:
    """The concepts of a folder, in the order of their numbers.

    Args:
        folder: Holds a table of training and one of test examples, as JSON lines, JSON or parquet (extra `axbench`):
            `train.jsonl` and `test.jsonl`; `train/data.parquet` and `test/data.parquet`, as on the hub; or
            `generate/train_data.parquet` and `inference/latent_eval_data.parquet`, as AxBench writes them.

    Raises:
        DataError: A table is missing or has other columns, or a concept lacks a side.
    """
    train, test = (list(_records(_table(Path(folder), part))) for part in PARTS)
    by_concept, tested = _by_concept(train), _by_concept(test)
    shared = by_concept.pop(SHARED, [])
    if not by_concept:
        raise DataError(f"{folder}: no training row belongs to a concept; concept_id is {SHARED} everywhere")
    return tuple(_concept(folder, at, by_concept[at], shared, tested.get(at, [])) for at in sorted(by_concept))


def _by_concept(records: Sequence[_Record]) -> dict[int, list[_Record]]:
    found: dict[int, list[_Record]] = {}
    for one in records:
        found.setdefault(one.concept_id, []).append(one)
    return found


def _concept(
    folder: str | Path, at: int, own: Sequence[_Record], shared: Sequence[_Record], tested: Sequence[_Record]
) -> Concept:
    positive = [one for one in own if one.category == "positive"]
    genres = {one.concept_genre for one in positive}
    alike = [one for one in shared if one.concept_genre in genres] or list(shared)
    negative = [one for one in own if one.category != "positive"] or alike
    counts = {
        "training positives": len(positive),
        "training negatives": len(negative),
        "test positives": sum(one.category == "positive" for one in tested),
        "test negatives": sum(one.category != "positive" for one in tested),
    }
    few = [name for name, count in counts.items() if count < 2]
    if few:
        raise DataError(f"{folder}: concept {at} has fewer than 2 {few[0]}; add some, or take the concept out")
    return Concept(at, positive[0].output_concept, _examples([*positive, *negative]), _examples(tested))


def _examples(records: Sequence[_Record]) -> tuple[Example, ...]:
    return tuple(
        Example(one.input, one.output, one.category == "positive", one.category == "hard negative") for one in records
    )


def _table(folder: Path, part: str) -> Path:
    places = [folder / f"{stem}{end}" for stem in PARTS[part] for end in ENDS]
    found = next((place for place in places if os.path.isfile(place)), None)
    if found is None:
        raise DataError(f"{folder}: no table of {part} examples; put one of {', '.join(map(str, places))} there")
    return found


def _records(path: Path) -> Iterator[_Record]:
    rows = _parquet(path) if path.suffix == ".parquet" else read_records(path)
    for line, row in rows:
        try:
            yield _Record.model_validate(row)
        except ValidationError as cause:
            problem = cause.errors(include_input=False, include_url=False)[0]
            name = ".".join(map(str, problem["loc"]))
            raise DataError(f"{path}:{line}: {name}: {problem['msg']}; rows have AxBench's columns") from None


def _parquet(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError:
        raise DataError(f"{path}: parquet needs pyarrow: pip install 'mmsteer[axbench]', or give .jsonl") from None
    with open_regular(path, DataError, "give a table") as file:
        try:
            table = read_table(file, columns=list(_Record.model_fields))
        except (ArrowException, OSError) as cause:
            raise DataError(f"{path}: no table with AxBench's columns ({cause})") from None
    yield from enumerate(table.to_pylist(), 1)
