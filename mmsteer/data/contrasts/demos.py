"""Demonstrations: an image, what a careful and what a hallucinating annotator say about it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from mmsteer.errors import DataError
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
        DataError: A line is no JSON object or lacks a key, or an image is missing or broken.

    Source: the demonstration file of Liu, Ye and Zou 2025, arXiv:2410.15778.
    """
    path = Path(file)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as demonstrations: {error}") from error
    demos = [_demo(path, number, line, Path(images)) for number, line in enumerate(lines, start=1) if line.strip()]
    if not demos:
        raise DataError(f"{path}: no demonstrations; write a JSON object a line with {', '.join(KEYS)}")
    return tuple(demos)


def _demo(path: Path, number: int, line: str, folder: Path) -> Demo:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {number}: not JSON ({error}); write a JSON object a line") from error
    missing = [key for key in KEYS[1:] if not (isinstance(row, dict) and isinstance(row.get(key), str) and row[key])]
    if missing:
        raise DataError(f"{path}, line {number}: {', '.join(missing)} must be words; every line needs {KEYS[1:]}")
    where = f"{path}, line {number}"
    return Demo(
        id=str(row.get("id", number)),
        image=_image(folder / row["image"], where),
        question=row["question"],
        careful=row["value"],
        loose=row["h_value"],
    )


def _image(path: Path, where: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError as error:
        raise DataError(f"{where}: there is no image {path}; give the folder that holds the images") from error
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: the image {path} is broken: {error}") from error
