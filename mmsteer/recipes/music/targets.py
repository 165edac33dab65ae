"""Rows that are played, and judged against the target of each condition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsteer.errors import RecipeError
from mmsteer.eval.attributes import read_file
from mmsteer.recipes.music.scoring import ADHERENCE, adherence, metrics, needed
from mmsteer.recipes.music.traces import condition_traces
from mmsteer.recipes.plan import Planned
from mmsteer.recipes.rows.task import Item, RowsTask
from mmsteer.recipes.scoring import Line, Scored
from mmsteer.schedules import Timeline
from mmsteer.steering import Steering


@dataclass(frozen=True, eq=False)
class TargetTask(RowsTask):
    """Rows that are played; what a clip should have depends on its condition.

    `evaluate`: what is read of each clip, and `adherence` to what its prompt states.
    """

    evaluate: Sequence[str] = ()

    def check(self) -> None:
        """Refuse a model that makes no music.

        Raises:
            RecipeError: It makes none.
        """
        if self.adapter.output_kind != "audio":
            raise RecipeError("this model makes no music; evaluate and targets need a MusicGen model")
        super().check()

    def line(self, path: Path, planned: Planned, item: Item, output: Any) -> dict[str, Any]:
        """Score a clip, and read what its condition's target is about."""
        line = super().line(path, planned, item, output)
        readings = read_file(path / line["audio"], needed(self.evaluate))
        told = adherence(readings, item.row.attributes) if ADHERENCE in self.evaluate else None
        more = {"target": dict(planned.own["target"]), "adherence": told}
        return line | more | {"readings": line["readings"] | readings}

    def scores(self, members: Sequence[Scored]) -> dict[str, Any]:
        """The scores by name, and those of the conditions' targets."""
        return {"metrics": super().scores(members)["metrics"] | metrics(members)}

    def traces(self, steering: Steering, lines: Sequence[Line], unsteered: Sequence[Line] | None) -> Mapping[str, Any]:
        """Strength and played notes over time."""
        return condition_traces(steering, lines, unsteered, Timeline(self.steps, self.adapter.rate))
