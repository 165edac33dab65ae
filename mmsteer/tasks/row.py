"""One row of somebody's data: what a model is given, and what is true of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmsteer.errors import DataError
from mmsteer.eval.attributes import Clip
from mmsteer.eval.audio import read_audio, resample
from mmsteer.eval.text import Reference
from mmsteer.images import read_image
from mmsteer.types import Adapter, Chat, Raw, Sample, Sampling, Waveform


@dataclass(frozen=True)
class Row:
    """A row; what it names of files is read when it is needed.

    Attributes:
        id: Its name.
        place: Where it stands, such as `rows.jsonl:3`.
        prompt: What the model is given.
        images: What the prompt is about: image files, PIL images, or functions that draw one.
        audio: The output that the model is taken to have made: an audio file, or a clip in memory.
        audio_prompt: An audio file that the output begins with.
        melody: An audio file whose melody the output follows.
        answer: The answer that the model is taken to have given; the right one, where answers are scored.
        options: Options of a multiple-choice question.
        instructions: Instructions that the answer should follow.
        objects: What the images show, in classes of COCO; None where it is not known.
        attributes: Labels of the clip, or of what its prompt asks for, by attribute, such as `{"tempo": "fast"}`.
        label: Its class.
        group: What it shares with other rows: rows of a group are never on both sides of a split.
        split: The part of the data that it belongs to.
    """

    id: str
    place: str
    prompt: str | Chat | Raw | None = None
    images: tuple[Any, ...] = ()
    audio: Path | Clip | None = None
    answer: str | None = None
    options: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    objects: frozenset[str] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    label: str | None = None
    group: str | None = None
    split: str | None = None
    audio_prompt: Path | None = None
    melody: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it names."""
        named = (*self.images, self.audio, self.audio_prompt, self.melody)
        return tuple(one for one in named if isinstance(one, Path))

    @property
    def reference(self) -> Reference:
        """What scorers of outputs ask."""
        return Reference(self.asked().text, self.answer, self.options, self.instructions, self.objects, self.attributes)

    @property
    def source(self) -> tuple[Any, ...]:
        """What makes rows one group where none is given: the same prompt about the same images or sounds."""
        given = (repr(self.prompt), self.images, self.audio_prompt, self.melody)
        return given if self.audio is None else (self.id,)

    def asked(self) -> Sample:
        """The row as a sample to generate from, without the content of its files."""
        return Sample(self.id, self.prompt)

    def sample(self, adapter: Adapter, *, answered: bool = False) -> Sample:
        """The row as a sample of a model.

        Args:
            adapter: The model.
            answered: Give the sample the row's answer or audio as its output.

        Raises:
            DataError: The model takes or makes no such thing.
            AdapterError: An image cannot be read.
            EvalError: A sound cannot be read.
        """
        if self.images and not adapter.sees:
            raise DataError(f"{self.place}: this model sees no images")
        if (self.audio_prompt or self.melody) and adapter.output_kind != "audio":
            raise DataError(f"{self.place}: this model makes text, so it continues no audio and follows no melody")
        seen = tuple(map(_drawn, self.images))
        output = self._output(adapter) if answered else None
        return Sample(self.id, self.prompt, seen, output, read_waveform(self.audio_prompt), read_waveform(self.melody))

    def _output(self, adapter: Adapter) -> Any:
        if adapter.output_kind == "text":
            if self.audio is not None:
                raise DataError(f"{self.place}: this model makes text, so `audio` cannot be its output")
            return self.answer
        if self.audio is None:
            raise DataError(f"{self.place}: this model makes audio; name the clip as `audio`")
        audio = read_audio(self.audio) if isinstance(self.audio, Path) else self.audio
        # As a model reads it: mono, at its sample rate.
        assert adapter.sample_rate is not None
        return resample(audio.samples, audio.sample_rate, adapter.sample_rate).astype(np.float32)


def _drawn(image: Any) -> Any:
    if isinstance(image, Path):
        return read_image(image)
    return image() if callable(image) else image


def read_waveform(path: Path | None) -> Waveform | None:
    """A file of audio as models are given it, mixed to mono; None for none.

    Args:
        path: The file.

    Raises:
        EvalError: It cannot be read.
    """
    if path is None:
        return None
    audio = read_audio(path)
    return Waveform(audio.samples, audio.sample_rate)


@dataclass(frozen=True)
class RowSet:
    """Rows, and how they are usually answered.

    Attributes:
        rows: The rows.
        sampling: How outputs are sampled where nothing else is asked for.
    """

    rows: tuple[Row, ...]
    sampling: Sampling
