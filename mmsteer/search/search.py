"""The search, and what it found.

The reward of a cell is a mean over answers to validation rows; its price is the divergence from the unsteered model
along that model's own answers. A random direction is tried at the same sites and prices, so that the best of many
random cells stands beside the best of many cells. What was chosen is then tried on rows that chose nothing.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.progress import Progress

from mmsteer.errors import DataError, SteeringError
from mmsteer.eval.rewards import OutputReward
from mmsteer.search.bench import Bench
from mmsteer.search.cells import Cell, cell_file
from mmsteer.search.clips import Clips
from mmsteer.search.grid import Grid
from mmsteer.search.pieces import Trial
from mmsteer.tasks import Row, digest, sources_of
from mmsteer.tracking import Tracker
from mmsteer.types import Adapter, Direction, Sampling, Score, content_digest, mean_score, random_direction
from mmsteer.workers import Held, Here, Workers

VALIDATION, TEST = 16, 32
"""Rows that cells are tried on, and that the choice is judged on; at most."""


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        name: The direction.
        reward: The reward's name.
        budget_kl: Nats a token that steering may cost.
        prompts: The validation rows' prompts, and those of the rows that chose nothing.
        sources: The groups, or prompts, that these rows are of.
        unsteered: The unsteered model on the validation rows.
        cells: Every cell of the grid.
        controls: A random direction at the same sites and prices.
        tested: `unsteered`, `steered` and `random` on rows that chose nothing, as far as there are any.
        audio: Whether answers are files of clips.
    """

    name: str
    reward: str
    budget_kl: float
    prompts: tuple[tuple[str, ...], tuple[str, ...]]
    sources: tuple[tuple[str, ...], tuple[str, ...]]
    unsteered: Cell
    cells: tuple[Cell, ...]
    controls: tuple[Cell, ...]
    tested: Mapping[str, Cell] = field(default_factory=dict)
    audio: bool = False

    @property
    def best(self) -> Cell | None:
        """The cell with the highest reward within the budget, of two alike the cheaper; None where none is within."""
        return _best(self.cells, self.budget_kl)

    @property
    def best_control(self) -> Cell | None:
        """The same of the random direction, among the cells whose own price is within the budget."""
        within = {cell.place for cell in self.cells if cell.kl <= self.budget_kl}
        return _best([cell for cell in self.controls if cell.of in within], math.inf)

    @property
    def gains(self) -> bool:
        """Whether the best cell is worth more than the unsteered model, on validation rows."""
        return self.best is not None and self.best.worth > self.unsteered.worth

    def score(self, cell: Cell) -> Score:
        """The mean reward of a cell, with its interval over sources.

        Args:
            cell: The cell.
        """
        tried, kept = self.sources
        return mean_score(cell.rewards, groups=kept if cell.kind.startswith("test") else tried)

    def line(self, cell: Cell) -> str:
        """A cell as a steering line.

        Args:
            cell: The cell.
        """
        return f"{self.name} {cell.place}"


def _best(cells: Sequence[Cell], budget: float) -> Cell | None:
    within = [cell for cell in cells if cell.kl <= budget and cell.answers]
    return max(within, key=lambda cell: (cell.worth, -cell.kl), default=None)


def search(
    adapter: Adapter,
    direction: Direction,
    rows: Sequence[Row],
    reward: OutputReward,
    *,
    budget_kl: float = 0.5,
    grid: Grid = Grid(),  # noqa: B008  a frozen value
    sampling: Sampling | None = None,
    batch: int = 16,
    seed: int = 0,
    folder: Path | None = None,
    workers: Workers | None = None,
    progress: bool = False,
    report_to: Sequence[Tracker] = (),
) -> Search:
    """Try a direction at many sites and strengths, and choose on validation rows.

    Args:
        adapter: The model.
        direction: What is steered along.
        rows: Prompts, with what the reward asks of them; see `divided`.
        reward: What is wanted of answers, or of clips.
        budget_kl: Nats a token (of all codebooks of a step together), mean along unsteered answers, that steering may
            cost.
        grid: What is tried.
        sampling: How answers are sampled, every cell with the same seeds; at most 48 tokens of text, or as the model
            is usually asked for audio.
        batch: Answers that are generated together, each with its own steering.
        seed: Of the random direction, the draw of rows, and what is sampled.
        folder: Where finished cells are kept, and clips; a search that was stopped goes on there.
        workers: What prices and generates, each with this model; None for this process, which rates in any case.
        progress: Show a bar.
        report_to: What the reward and the price of each cell are sent to, one step a cell of the grid and then one a
            control; a search that goes on sends finished ones again.

    Raises:
        DataError: A search of audio has no folder, there are too few rows, they lack what the reward asks for, or the
            folder holds something else, or another process runs there.
        SteeringError: The budget or the grid makes no sense.
    """
    if not budget_kl > 0:
        raise SteeringError(f"the budget of {budget_kl} nats is not above zero")
    direction.check_model(adapter)
    places = grid.places(direction)
    tried, kept = divided(rows, seed)
    clips = None if adapter.sample_rate is None else _clips(adapter.sample_rate, folder)
    sampling = sampling or (Sampling() if clips else Sampling(tokens=48))
    settings = _settings(adapter, direction, tried, kept, reward, sampling, seed)
    noise = random_direction(direction, seed)
    with cell_file(folder, settings, clips) as file, Progress(disable=not progress) as bar:
        bench = Bench(workers or Here(Held(adapter)), reward, budget_kl, file, clips)
        task = bar.add_task("searching", total=2 * len(places))
        unsteered, trial = bench.unsteered(Trial(tried, sampling, batch, seed))
        _check_scored(unsteered, reward)
        cells, controls = list[Cell](), list[Cell]()
        for part in bench.cells(direction, places, trial):
            cells += part
            _report(report_to, cells, len(part), 0)
            bar.advance(task, len(part))
        for part in bench.controls(noise, cells, trial):
            controls += part
            _report(report_to, controls, len(part), len(cells))
            bar.advance(task, len(part))
        prompts = (tuple(row.asked().text for row in tried), tuple(row.asked().text for row in kept))
        found = Search(
            direction.name,
            reward.name,
            budget_kl,
            prompts,
            (tuple(sources_of(tried)), tuple(sources_of(kept))),
            unsteered,
            tuple(cells),
            tuple(controls),
            audio=bool(clips),
        )
        if kept:
            found = replace(
                found, tested=_tested(bench, found, direction, noise, replace(trial, rows=kept, plain=None))
            )
        file.arrange([unsteered, *cells, *controls, *found.tested.values()])
        return found


def _report(trackers: Sequence[Tracker], cells: Sequence[Cell], fresh: int, before: int) -> None:
    """Send the last of some cells, as steps behind those of `before` others."""
    for at, cell in list(enumerate(cells, before))[-fresh:]:
        # The reward of a cell that is far too dear is not known.
        reward = {f"{cell.kind}/reward": cell.worth} if cell.answers else {}
        for tracker in trackers:
            tracker.log(at, {**reward, f"{cell.kind}/kl": cell.kl})


def _clips(sample_rate: int, folder: Path | None) -> Clips:
    if folder is None:
        raise DataError("a search of audio keeps its clips; give it a folder")
    return Clips(folder, sample_rate)


def _check_scored(unsteered: Cell, reward: OutputReward) -> None:
    if all(one is None for one in unsteered.rewards):
        raise DataError(
            f"{reward.name} has no value for any unsteered answer: either all are blank, or the rows lack what it asks "
            "for, such as `answer`, `options` or `instructions`"
        )


def divided(rows: Sequence[Row], seed: int) -> tuple[list[Row], list[Row]]:
    """Rows that cells are tried on, and rows that judge the choice: at most 16 and 32.

    Args:
        rows: Of the splits `validation` and `test`; where no row has a split they are drawn, whole groups at a time.
        seed: Of the draw.

    Raises:
        DataError: There are too few, or rows have a split and none is `validation`.
    """
    rng = random.Random(seed)
    if any(row.split for row in rows):
        tried = [row for row in rows if row.split == "validation"]
        kept = [row for row in rows if row.split == "test"]
        if not tried:
            raise DataError("no row has the split 'validation'; call some of them so, or leave the splits out")
    else:
        sources = sources_of(rows)
        drawn = list(dict.fromkeys(sources))
        rng.shuffle(drawn)
        chosen = set(drawn[: max(1, min(VALIDATION, len(drawn) // 2))])
        tried = [row for row, source in zip(rows, sources, strict=True) if source in chosen]
        kept = [row for row, source in zip(rows, sources, strict=True) if source not in chosen]
    rng.shuffle(tried)
    rng.shuffle(kept)
    if len(tried) < 2:
        raise DataError(f"{len(rows)} rows are too few to choose on; give 20 or more")
    return tried[:VALIDATION], kept[:TEST]


def _tested(bench: Bench, found: Search, direction: Direction, noise: Direction, trial: Trial) -> dict[str, Cell]:
    plain, trial = bench.unsteered(trial, "test unsteered")
    chosen = {"steered": (found.best, direction), "random": (found.best_control, noise)}
    there = {name: (f"test {name}", along, cell.place) for name, (cell, along) in chosen.items() if cell is not None}
    judged = bench.tested(list(there.values()), trial)
    return {"unsteered": plain, **dict(zip(there, judged, strict=True))}


def _settings(
    adapter: Adapter,
    direction: Direction,
    tried: Sequence[Row],
    kept: Sequence[Row],
    reward: OutputReward,
    sampling: Sampling,
    seed: int,
) -> dict[str, Any]:
    """What a finished cell depends on, but for its place."""
    return {
        "model": adapter.run_identity,
        "direction": content_digest(direction),
        "rows": digest([*tried, *kept]),
        "reward": reward.name,
        "sampling": repr(sampling.filled(adapter.sampling)),
        "seed": seed,
    }
