"""What the studio works on: one model, its directions, and what is made with them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock
from typing import Any

from torch import Tensor
from transformers import LogitsProcessor

from mmsteer.adapters import AnyAdapter
from mmsteer.api import load, parse_steering, ready_made_directions, steer
from mmsteer.errors import StudioError, clip
from mmsteer.formats import load_directions
from mmsteer.recipes.finding import find
from mmsteer.recipes.probe_sources import family_of, of_rows, read_labelled
from mmsteer.steering import Steering
from mmsteer.types import Direction, Sample, Sampling

Report = Callable[[float, str], None]
"""Is given how much is done, 0 to 1, and what is being done."""

MODELS = ("bundled:text", "bundled:music", "bundled:vision", "bundled:llava")
"""Those that can be chosen in any studio."""


@dataclass(frozen=True)
class Asked:
    """What is to be made, twice.

    Attributes:
        prompt: What is asked, or played.
        image: An image that it is about; None for none.
        length: Of the output, in seconds or tokens.
        temperature: 0 takes the likeliest token.
        seed: Of what is drawn.
        lines: The attributes.
    """

    prompt: str
    image: Any
    length: float
    temperature: float
    seed: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """What became of it.

    Attributes:
        before: The unsteered output, text or audio.
        after: The steered one.
        receipt: What was applied.
    """

    before: Any
    after: Any
    receipt: str


@dataclass
class Workshop:
    """One model at a time, and one piece of work.

    Attributes:
        folder: Files are read and written in it alone.
        models: Folders and names that can be loaded beside `MODELS`; the first is loaded first.
        device: Where models run.
        dtype: And in which precision.
        name: Of the model.
        adapter: The model; None before the first.
        directions: What can be steered along.
    """

    folder: Path
    models: tuple[str, ...] = MODELS[:1]
    device: str = "cpu"
    dtype: str = "float32"
    name: str = ""
    adapter: AnyAdapter | None = None
    directions: dict[str, Direction] = field(default_factory=dict)
    _stop: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    @property
    def model(self) -> AnyAdapter:
        """The model.

        Raises:
            StudioError: None was chosen yet.
        """
        if self.adapter is None:
            raise StudioError("no model is loaded; choose one first")
        return self.adapter

    def load(self, name: str) -> None:
        """Take another model, with its ready-made directions.

        Args:
            name: One of `models` or `MODELS`: whoever has the page open reads no other folder of this machine.

        Raises:
            StudioError: It is none of them.
        """
        if name not in (*self.models, *MODELS):
            raise StudioError(f"{clip(name)} cannot be chosen here; start the studio with --model {clip(name)}, too")
        with self._lock:
            self.adapter = load(name, device=self.device, dtype=self.dtype)
            self.name = name
            self.directions = ready_made_directions(name)

    def read(self, file: str) -> tuple[str, ...]:
        """Take the directions of a file.

        Args:
            file: Its name in the folder.

        Returns:
            Their names.
        """
        with self._lock:
            found = load_directions(self.inside(file))
            self._take(found)
        return tuple(found)

    def find(self, data: str, probe: str) -> tuple[str, ...]:
        """Find directions in rows of one's own, as `mmsteer probe --data` does.

        Args:
            data: JSON lines, or a folder of labelled files, in the folder.
            probe: Such as `mean-difference`.

        Returns:
            Their names.
        """
        with self._lock:
            path = self.inside(data)
            rows = read_labelled(path, None)
            names = ("sites", "positions", "pool")
            common = dict.fromkeys(names) | {"probe": probe, "family": family_of(path, None)}
            material = of_rows(path, rows, self.model, None, common)
            found = find(self.model, material.entry, material.data)
            self._take(found.directions)
        return tuple(found.directions)

    def compare(self, asked: Asked, report: Report) -> Compared:
        """Make the output twice: unsteered and steered, by the same seed.

        Args:
            asked: What is to be made.
            report: Is given how far it got.

        Raises:
            StudioError: It was stopped, or nothing is steered.
        """
        with self._lock:
            self._stop.clear()
            steering = self.steering(asked.lines)
            before, _ = self._made(asked, Steering(), lambda share: report(share / 2, "unsteered"))
            after, receipt = self._made(asked, steering, lambda share: report((1 + share) / 2, "steered"))
        return Compared(before, after, receipt)

    def stop(self) -> None:
        """End what is being made, at its next token."""
        self._stop.set()

    def steering(self, lines: Sequence[str]) -> Steering:
        """What is applied.

        Args:
            lines: The attributes.

        Raises:
            StudioError: There are none.
        """
        if not lines:
            raise StudioError("nothing is steered; choose a direction")
        return parse_steering("; ".join(lines), self.directions)

    def sampling(self, asked: Asked) -> Sampling:
        """How the outputs are sampled.

        Args:
            asked: What is to be made.
        """
        if self.model.output_kind == "audio":
            return Sampling(seconds=asked.length, temperature=asked.temperature)
        return Sampling(int(asked.length), temperature=asked.temperature)

    def inside(self, name: str) -> Path:
        """A file or folder in the studio's folder.

        Args:
            name: Its name.

        Raises:
            StudioError: It is not there, or not in it.
        """
        path = (self.folder / name.strip()).resolve()
        if not name.strip() or not path.is_relative_to(self.folder.resolve()) or not path.exists():
            raise StudioError(f"there is no {name.strip()!r} in {self.folder}; put it there, or start with --folder")
        return path

    def _take(self, found: Mapping[str, Direction]) -> None:
        for one in found.values():
            one.check_model(self.model)
        self.directions |= found

    def _made(self, asked: Asked, steering: Steering, report: Callable[[float], None]) -> tuple[Any, str]:
        sampling = self.sampling(asked).filled(self.model.sampling)
        watched = _Watched(self.model.steps(sampling), self._stop, report)
        sampling = replace(sampling, processors=(watched,))
        sample = Sample("studio", asked.prompt, () if asked.image is None else (asked.image,))
        with steer(self.model, steering) as session:
            (made,) = self.model.generate([sample], sampling, [asked.seed])
            return made.output, str(session.receipt())


class _Watched(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Changes nothing; counts steps, and ends the work where that is asked for."""

    def __init__(self, steps: int, stop: Event, report: Callable[[float], None]) -> None:
        self._steps, self._stop, self._report, self._done = steps, stop, report, 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self._stop.is_set():
            raise StudioError("stopped")
        self._done += 1
        self._report(min(1.0, self._done / self._steps))
        return scores
