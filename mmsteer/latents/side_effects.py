"""What steering did to rewards: beside the unsteered run on the same prompts, and what was broken on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmsteer.errors import DictionaryError
from mmsteer.latents.trials import UNSTEERED, Trials
from mmsteer.steering import Steering
from mmsteer.types import Adapter, Score, mean_score, paired_score


@dataclass(frozen=True)
class SideEffects:
    """Outputs that steering set right, and those that it spoiled.

    `unscored`: outputs that could not be judged in one of the runs.
    """

    fixed: int
    broken: int
    unscored: int

    @property
    def ratio(self) -> float:
        """The side-effect ratio: broken among those that changed; 0 where none did, because nothing was spoiled."""
        changed = self.fixed + self.broken
        return self.broken / changed if changed else 0.0


def side_effects(before: Sequence[float | None], after: Sequence[float | None]) -> SideEffects:
    """Count what steering set right and what it spoiled. An output with a reward above zero is right.

    Answers that differ and are as right as before do not count as changed: of clips, all differ.

    `before`: rewards without steering; None where an output could not be judged.

    Raises:
        DictionaryError: The two runs differ in length.

    Source: the side-effect ratio of Cho et al. 2025 (CorrSteer), arXiv:2508.12535.
    """
    if len(before) != len(after):
        raise DictionaryError(f"rewards of {len(before)} and {len(after)} outputs cannot be compared one by one")
    pairs = [(a > 0, b > 0) for a, b in zip(before, after, strict=True) if a is not None and b is not None]
    return SideEffects(pairs.count((False, True)), pairs.count((True, False)), len(before) - len(pairs))


@dataclass(frozen=True)
class Row:
    """One steering on one set of trials.

    Attributes:
        trials: What was tried.
        condition: Name of the steering.
        reward: Mean reward.
        change: Mean change from the unsteered run, prompt by prompt; None for that run itself.
        effects: What was set right and what was spoiled; None as above.
        rewards: Of each prompt; None where it could not be judged.
    """

    trials: str
    condition: str
    reward: Score
    change: Score | None = None
    effects: SideEffects | None = None
    rewards: tuple[float | None, ...] = ()

    def plain(self) -> dict[str, Any]:
        """The row as plain values."""
        return {
            "trials": self.trials,
            "condition": self.condition,
            "reward": self.reward.to_json(),
            "change": self.change.to_json() if self.change else None,
            "side_effect_ratio": self.effects.ratio if self.effects else None,
            "broken": self.effects.broken if self.effects else None,
            "fixed": self.effects.fixed if self.effects else None,
        }


@dataclass(frozen=True)
class Comparison:
    """Several steerings on several sets of trials.

    `rows`: for each set the unsteered run, then the steerings.
    """

    rows: tuple[Row, ...]

    def table(self) -> list[dict[str, Any]]:
        """One row a run, as plain values."""
        return [row.plain() for row in self.rows]


def compare(adapter: Adapter, trials: Sequence[Trials], steerings: Mapping[str, Steering]) -> Comparison:
    """Run trials unsteered and under each steering, and hold the runs against one another.

    `trials`: what is tried; unrelated ones show the damage.
    """
    return Comparison(tuple(row for one in trials for row in _rows(adapter, one, steerings)))


def _rows(adapter: Adapter, trials: Trials, steerings: Mapping[str, Steering]) -> list[Row]:
    before = trials.run(adapter).rewards
    rows = [Row(trials.name, str(UNSTEERED), mean_score(before), rewards=before)]
    for name, steering in steerings.items():
        after = trials.run(adapter, steering).rewards
        change, effects = paired_score(after, before), side_effects(before, after)
        rows.append(Row(trials.name, name, mean_score(after), change, effects, after))
    return rows
