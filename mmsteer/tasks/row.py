"""One row of somebody's data: what a model is given, and what is true of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmsteer.adapters import read_image
from mmsteer.errors import DataError
from mmsteer.eval.audio import read_audio, resample
from mmsteer.eval.text import Reference
from mmsteer.types import Adapter, Chat, Raw, Sample


@dataclass(frozen=True)
class Row:
    """A row, whose files are read when they are needed.

    Attributes:
        id: Its name.
        place: Where it stands, such as `rows.jsonl:3`.
        prompt: What the model is given.
        images: Image files that the prompt is about.
        audio: An audio file: the output that the model is taken to have made.
        answer: The answer that the model is taken to have given; the right one, where answers are scored.
        options: Options of a multiple-choice question.
        instructions: Instructions that the answer should follow.
        label: Its class.
        group: What it shares with other rows: rows of a group are never on both sides of a split.
        split: The part of the data that it belongs to.
    """

    id: str
    place: str
    prompt: str | Chat | Raw | None = None
    images: tuple[Path, ...] = ()
    audio: Path | None = None
    answer: str | None = None
    options: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    label: str | None = None
    group: str | None = None
    split: str | None = None

    @property
    def reference(self) -> Reference:
        """What scorers of answers ask."""
        return Reference(self.asked().text, self.answer, self.options, self.instructions)

    @property
    def source(self) -> tuple[Any, ...]:
        """What makes rows one group where none is given: the same prompt about the same images."""
        return (repr(self.prompt), self.images) if self.audio is None else (self.id,)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the row names."""
        return (*self.images, *([self.audio] if self.audio else []))

    def asked(self) -> Sample:
        """The row as a sample to generate from, without its images' content."""
        return Sample(self.id, self.prompt)

    def sample(self, adapter: Adapter, *, answered: bool = False) -> Sample:
        """The row as a sample of a model.

        Args:
            adapter: The model.
            answered: Give the sample the row's answer or audio as its output.

        Raises:
            DataError: The model takes or makes no such thing.
            AdapterError: An image cannot be read.
        """
        if self.images and not adapter.sees:
            raise DataError(f"{self.place}: this model sees no images")
        seen = tuple(read_image(path) for path in self.images)
        return Sample(self.id, self.prompt, seen, self._output(adapter) if answered else None)

    def _output(self, adapter: Adapter) -> Any:
        if adapter.output_kind == "text":
            if self.audio is not None:
                raise DataError(f"{self.place}: this model makes text, so `audio` cannot be its output")
            return self.answer
        if self.audio is None:
            raise DataError(f"{self.place}: this model makes audio; name the clip as `audio`")
        return _clip(self.audio, adapter.sample_rate)  # type: ignore[attr-defined]


def _clip(path: Path, sample_rate: int) -> Any:
    """Audio as a model reads it: mono, at its sample rate."""
    audio = read_audio(path)
    return resample(audio.samples, audio.sample_rate, sample_rate).astype(np.float32)
