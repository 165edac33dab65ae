"""Demonstrations: an image, what a careful and what a hallucinating annotator say about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image

from mmsteer.errors import AdapterError, DataError
from mmsteer.images import read_image
from mmsteer.json_lines import read_json_lines
from mmsteer.types import Sample

KEYS = ("id", "image", "question", "value", "h_value")


@dataclass(frozen=True, eq=False)
class Demo:
    """One demonstration.

    Attributes:
        id: Its name.
        image: A PIL image.
        question: What the user asks for.
        careful: A caption that is true of the image.
        loose: A caption that names what is not there.
    """

    id: str
    image: Any
    question: str
    careful: str
    loose: str

    def sample(self, side: str, answer: str | None = None) -> Sample:
        """The question about the image, answered.

        Args:
            side: What tells the sample from the others of this demo.
            answer: What the model is taken to have said.
        """
        return Sample(f"{self.id}/{side}", self.question, (self.image,), answer)


def image_samples(demos: Sequence[Demo]) -> tuple[Sample, ...]:
    """The demos' questions with nothing answered, named as the demos.

    Args:
        demos: The demos.
    """
    return tuple(Sample(demo.id, demo.question, (demo.image,)) for demo in demos)


def read_demos(file: str | Path, images: str | Path) -> tuple[Demo, ...]:
    """Demos in VTI's format: a JSON object a line with image, question, value (true) and h_value (hallucinated).

    Args:
        file: The JSONL file.
        images: The folder of the images.

    Raises:
        DataError: A line is no JSON object or lacks a key, or an image is missing, broken or beyond the limits.

    Source: the demonstration file of Liu, Ye and Zou 2025, arXiv:2410.15778.
    """
    path = Path(file)
    demos = [_demo(path, number, row, Path(images)) for number, row in read_json_lines(path)]
    if not demos:
        raise DataError(f"{path}: no demonstrations; write a JSON object a line with {', '.join(KEYS)}")
    return tuple(demos)


def _demo(path: Path, number: int, row: dict[str, Any], folder: Path) -> Demo:
    where = f"{path}:{number}"
    missing = [key for key in KEYS[1:] if not (isinstance(row.get(key), str) and row[key])]
    if missing:
        raise DataError(f"{where}: {', '.join(missing)} must be words; every line needs {KEYS[1:]}")
    return Demo(
        id=str(row.get("id", number)),
        image=_image(folder / row["image"], where),
        question=row["question"],
        careful=row["value"],
        loose=row["h_value"],
    )


def _image(path: Path, where: str) -> Image:
    try:
        return read_image(path)
    except AdapterError as broken:
        raise DataError(f"{where}: {broken}") from None
