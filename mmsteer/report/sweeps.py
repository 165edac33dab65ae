"""Rows of scores by what was steered, each in the order of its strength."""

import re
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from string import ascii_uppercase

from mmsteer.report.parts import Row

COLOURS = 6
Key = tuple[tuple[str, ...], str]


@dataclass(frozen=True)
class Spot:
    """A row of a sweep.

    `at`: its strength; None where it has none.
    """

    at: float | None
    row: Row
    chosen: bool = False


@dataclass(frozen=True)
class Series:
    """Rows that differ in their strength alone.

    Attributes:
        name: What they have in common.
        letter: Stands for it in a drawing; empty where there is but one series.
        colour: Class of their colour.
        tried: In the order of strength; where the recipe chooses on other material, the rows of that.
        tested: Where the recipe chooses, the rows of the test.
    """

    name: str
    letter: str
    colour: str
    tried: tuple[Spot, ...]
    tested: tuple[Spot, ...] = ()

    @property
    def spots(self) -> tuple[Spot, ...]:
        """All rows."""
        return self.tried + self.tested

    @property
    def judged(self) -> tuple[Spot, ...]:
        """The rows with controls: of the test, where there is one."""
        return self.tested or self.tried


def swept(rows: Sequence[Row]) -> tuple[str, ...]:
    """The variables that stand for strength: of the numbers that vary the one called so, or else all.

    Returns:
        Those that take most values first; of each row the first that it has is its strength.
    """
    values: dict[str, set[float]] = {}
    for row in rows:
        for key, value in row.values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.setdefault(key, set()).add(value)
    varying = sorted((key for key in values if len(values[key]) > 1), key=lambda key: -len(values[key]))
    return ("strength",) if "strength" in varying else tuple(varying)


def grouped(
    tried: Sequence[Row], tested: Sequence[Row], variables: Sequence[str], metrics: Set[str]
) -> tuple[Series, ...]:
    """The rows with some metrics, by everything but the swept variable.

    `tested`: those of the test, where `tried` is other material.
    `metrics`: which scores they must have.
    """
    chosen = {row.condition for row in tested}
    first = _by_key([row for row in tried if metrics <= row.metrics.keys()], variables)
    second = _by_key([row for row in tested if metrics <= row.metrics.keys()], variables)
    names = _names([*dict.fromkeys((*first, *second))])
    return tuple(
        Series(
            name,
            ascii_uppercase[index % 26] if len(names) > 1 else "",
            f"c{index % COLOURS}",
            _spots(first.get(key, []), variables, chosen),
            _spots(second.get(key, []), variables, set()),
        )
        for index, (key, name) in enumerate(names.items())
    )


def _by_key(rows: Sequence[Row], variables: Sequence[str]) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = {}
    for row in rows:
        strength = _strength(row, variables)
        rest = tuple(str(value) for key, value in row.values.items() if key != strength)
        found.setdefault((rest, _stem(row, strength)), []).append(row)
    return found


def _strength(row: Row, variables: Sequence[str]) -> str | None:
    return next((name for name in variables if name in row.values), None)


def _stem(row: Row, strength: str | None) -> str:
    """The name without its strength: of two entries with the same variables only that tells which is which."""
    if strength is None:
        return row.condition
    number = re.escape(str(row.values[strength]))
    return re.sub(rf"(?<![\w.]){number}(?![\w.])", "…", row.condition)


def _names(keys: Sequence[Key]) -> Mapping[Key, str]:
    """What the values say, where that tells all of them apart; or else what is common to the names of conditions."""
    short = [", ".join(rest) for rest, _ in keys]
    if len(set(short)) == len(keys) and (all(short) or len(keys) == 1):
        return dict(zip(keys, short, strict=True))
    return {key: key[1] for key in keys}


def _spots(rows: Sequence[Row], variables: Sequence[str], chosen: Collection[str]) -> tuple[Spot, ...]:
    spots = [Spot(_value(row, variables), row, row.condition in chosen) for row in rows]
    return tuple(sorted(spots, key=lambda spot: spot.at or 0.0))


def _value(row: Row, variables: Sequence[str]) -> float | None:
    value = row.values.get(_strength(row, variables) or "")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
