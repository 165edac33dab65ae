"""Rows of one's own, answered or played, and scored by name or by any function."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmsteer.adapters.waves import alike
from mmsteer.errors import EvalError, RecipeError
from mmsteer.eval.audio import read_audio
from mmsteer.eval.sound_file import to_flac
from mmsteer.likelihood import output_likelihood
from mmsteer.recipes.beside import Count, Pair, beside_controls
from mmsteer.recipes.environment import file_digest
from mmsteer.recipes.folder import RunFolder
from mmsteer.recipes.plan import Planned
from mmsteer.recipes.receipts import receipt_json
from mmsteer.recipes.rows.scorers import Measure, Scorer, audio_scorers, called, read_audio_file, text_scorers
from mmsteer.recipes.scoring import ITEM, Line, Scored
from mmsteer.recipes.task import Task
from mmsteer.steering import Steering, steer
from mmsteer.tasks import Row, sources_of
from mmsteer.types import Sample, Sampling

LOOKED_AT = 12
"""Outputs of a condition that are looked at first."""


@dataclass(frozen=True)
class Item:
    """One row to generate from.

    Attributes:
        index: Its place.
        row: The row, of whatever source.
        seed: Seed of its noise, the same under every condition.
    """

    index: int
    row: Any
    seed: int


@dataclass(frozen=True, eq=False)
class RowsTask(Task):
    """Rows are answered or played, and scored.

    `rows`: what it is given, from `read_rows`.
    `score`: for the name of each metric what it measures, such as `contains:Arr`; from Python also any function of an
    answer, or of an `Audio`, that gives a number, or None where nothing can be said.
    `sampling`: how outputs are sampled; what is None is as usual for the model.
    `batch`: rows that run together.
    """

    rows: Sequence[Row]
    score: Mapping[str, Measure]
    sampling: Sampling
    batch: int = 8
    seed: int = 0

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """The rows, each with a seed of its own, the same under every condition."""
        return tuple(Item(at, row, seed_of(self.seed, at)) for at, row in enumerate(self.rows))

    @property
    def chunk(self) -> int:
        """Rows that run together."""
        return self.batch

    @property
    def steps(self) -> int:
        """Most steps of an output."""
        return int(self.adapter.steps(self.sampling))

    @property
    def guidance(self) -> float:
        """Scale of classifier-free guidance."""
        return self.sampling.filled(self.adapter.sampling).guidance or 1.0

    @cached_property
    def scorers(self) -> tuple[Scorer, ...]:
        """What outputs are scored by."""
        parse = text_scorers if self._is_text else audio_scorers
        return parse(self.score)

    def identity(self) -> dict[str, Any]:
        """All that outputs and scores depend on, as plain JSON; a function is known by its name alone."""
        named = {
            name: measure if isinstance(measure, str) else f"function {called(measure)}"
            for name, measure in self.score.items()
        }
        return {
            "rows": [_content(row) for row in self.rows],
            "score": named,
            "sampling": repr(self.sampling),
            "batch": self.batch,
            "seed": self.seed,
            "model": self.adapter.run_identity,
        }

    def check(self) -> None:
        """Refuse what the model cannot make, and scorers of something else.

        Raises:
            RecipeError: A scorer reads another kind of output.
        """
        self.adapter.steps(self.sampling)
        try:
            len(self.scorers)
        except EvalError as cause:
            raise RecipeError(f"this model makes {self.adapter.output_kind}: {cause}") from None

    def check_own(self, own: Mapping[str, Any]) -> None:
        """Nothing: rows are steered alone."""

    def describe(self, folder: RunFolder) -> None:
        """Write `examples.json` and `metrics.json`, and copy the images that rows name."""
        folder.write("examples.json", [_example(folder, item) for item in self.items])
        folder.write("metrics.json", [vars(scorer.metric) for scorer in self.scorers])

    def make(self, planned: Planned, steering: Steering, items: Sequence[Item]) -> tuple[dict[str, bytes], Line]:
        """Generate a batch."""
        samples = [item.row.sample(self.adapter) for item in items]
        seeds = [item.seed for item in items]
        with steer(self.adapter, steering) as session:
            made = self.adapter.generate(samples, self.sampling, seeds)
            receipt = receipt_json(session.receipt())
        rate = self.adapter.sample_rate
        if rate is not None:
            files = {_audio(planned, item): to_flac(one.output, rate) for item, one in zip(items, made, strict=True)}
            return files, {"receipt": receipt}
        outputs = [{"text": one.output} for one in made]
        for one, more in zip(outputs, self._asked(made, steering, items), strict=True):
            one |= more
        return {}, {"receipt": receipt, "outputs": outputs}

    def line(self, path: Path, planned: Planned, item: Item, output: Any) -> dict[str, Any]:
        """Score an output."""
        if not self._is_text:
            file = _audio(planned, item)
            output = {"audio": file, "readings": read_audio_file(path / file, self.score)}
        scores = {one.metric.name: list(one.score(output, item.row.reference) or (0.0, 0.0)) for one in self.scorers}
        return {"id": item.row.id, "seed": item.seed, **output, "scores": scores}

    def contexts(self, path: Path, planned: Planned, items: Sequence[Item], outputs: Sequence[Any]) -> list[Sample]:
        """Unsteered outputs after their prompts."""
        samples = [item.row.sample(self.adapter) for item in items]
        if self._is_text:
            made = [replace(one, output=out["text"]) for one, out in zip(samples, outputs, strict=True)]
            return [one for one in made if one.output]
        clips = [read_audio(path / _audio(planned, item)).samples for item in items]
        made = [replace(one, output=clip) for one, clip in zip(samples, clips, strict=True)]
        return [made[row] for row in alike(made)[0]]  # read at once

    def looked_at(self, lines: Sequence[Line], unsteered: Sequence[Line] | None) -> list[Line]:
        """The first outputs, but for blank ones."""
        del unsteered
        return [line for line in lines if line["text" if self._is_text else "audio"]][:LOOKED_AT]

    def scores(self, members: Sequence[Scored]) -> dict[str, Any]:
        """Ratios of sums over rows, beside their controls; intervals are over groups, or prompts, of rows."""
        counts = {one.metric.name: _count(one.metric.name) for one in self.scorers}
        chance = {one.metric.name: one.metric.chance for one in self.scorers if one.metric.chance is not None}
        sources = sources_of(self.rows)
        return {"metrics": beside_controls(members, counts, chance, lambda line: sources[line[ITEM]])}

    @property
    def _is_text(self) -> bool:
        return self.adapter.output_kind == "text"

    def _asked(self, made: Sequence[Sample], steering: Steering, items: Sequence[Item]) -> list[dict[str, Any]]:
        """What scorers ask of the model itself, for each output."""
        asks, found = {one.asks for one in self.scorers}, [dict[str, Any]() for _ in made]
        if "surprise" in asks:
            for one, sums in zip(found, self._surprise(made), strict=True):
                one["surprise"] = sums
        if "options" in asks:
            for one, right in zip(found, self._right(made, steering, items), strict=True):
                one["right"] = right
        return found

    def _surprise(self, made: Sequence[Sample]) -> list[list[float]]:
        """Minus the log-probability and the number of tokens of each answer, under the unsteered model."""
        told = [place for place, one in enumerate(made) if one.output]
        sums = [[0.0, 0.0] for _ in made]
        found = output_likelihood(self.adapter, [made[place] for place in told]).tolist() if told else []
        for place, (total, tokens) in zip(told, found, strict=True):
            sums[place] = [-round(total, 6), tokens]
        return sums

    def _right(self, made: Sequence[Sample], steering: Steering, items: Sequence[Item]) -> list[bool | None]:
        """Whether the right option of each row is the likeliest; None for a row that is no such question."""
        asked = [place for place, item in enumerate(items) if item.row.answer in item.row.options]
        each = [
            replace(made[place], id=f"{place}/{at}", output=text)
            for place in asked
            for at, text in enumerate(items[place].row.options)
        ]
        # A batch at a time: a steering is attached to the model once for each, and memory grows with its rows.
        parts = [each[start : start + self.batch] for start in range(0, len(each), self.batch)]
        sums = (
            torch.cat([output_likelihood(self.adapter, part, steering, steps=self.steps) for part in parts])
            if parts
            else None
        )
        found: list[bool | None] = [None] * len(made)
        for place in asked:
            assert sums is not None
            options = items[place].row.options
            mine, sums = sums[: len(options)], sums[len(options) :]
            found[place] = options[int(torch.argmax(mine[:, 0] / mine[:, 1]))] == items[place].row.answer
        return found


def _content(row: Row) -> list[Any]:
    """A row and the digests of its files, wherever these lie."""
    bare = replace(row, place="", images=(), audio=None, audio_prompt=None, melody=None)
    return [repr(bare), [file_digest(path) for path in row.files]]


def _count(name: str) -> Count:
    def count(line: Line) -> Pair | None:
        above, below = line["scores"][name]
        return (above, below) if below else None

    return count


def _audio(planned: Planned, item: Item) -> str:
    """Where a clip lies in the run folder."""
    return f"audio/{planned.folder}/{item.index:05d}.flac"


def _example(folder: RunFolder, item: Item) -> Mapping[str, Any]:
    """A row as `examples.json` keeps it; its images are put into the folder."""
    row, images = item.row, []
    for at, source in enumerate(row.images):
        name = f"images/{item.index:05d}-{at}{source.suffix.lower() if isinstance(source, Path) else '.png'}"
        if not folder.has(name):
            folder.write_bytes(name, source.read_bytes() if isinstance(source, Path) else _png(source()))
        images.append(name)
    return {
        "index": item.index,
        "id": row.id,
        "prompt": row.asked().text,
        "answer": row.answer,
        "options": list(row.options),
        "images": images,
        "objects": None if row.objects is None else sorted(row.objects),
        "seed": item.seed,
    }


def seed_of(seed: int, index: int) -> int:
    """The seed of one item, drawn from that of all."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0] >> 1)


def _png(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
