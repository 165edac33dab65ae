"""What stands where in a scene, drawn from a seed; without and with one object, all else unchanged."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mmsteer.errors import DataError
from mmsteer.worlds.scenes.kinds import LEDGE, SCENES, SceneKind
from mmsteer.worlds.scenes.shapes import COLOURS, OBJECTS, SHAPES
from mmsteer.worlds.scenes.sight import visible_things
from mmsteer.worlds.scenes.thing import Thing

ANCHOR_SHARE = 0.95
COMPANION_SHARE = 0.4
FOREIGN_SHARE = 0.02
# The same in cluttered scenes: about six objects, of which two belong elsewhere.
CLUTTERED_COMPANION_SHARE = 0.6
CLUTTERED_FOREIGN_SHARE = 0.07
# Detailed scenes: a kind's details are likely and faint, so that there is some evidence of them, and a strong prior.
DETAIL_SHARE = 0.7
FAINT_OPACITY = (0.12, 0.34)
# Scenes in which something may stand in front of something else.
CROWDED_SHARE = 0.35
TABLE_TOP = 0.14
# Lowest points, as shares of the image's height, by place and by whether it is outdoors.
_BASES = {
    ("floor", False): (0.76, 0.97),
    ("floor", True): (0.68, 0.96),
    ("surface", True): (0.74, 0.98),
    ("wall", False): (0.24, 0.34),
    ("wall", True): (0.24, 0.45),
    ("sky", False): (0.3, 0.42),
    ("sky", True): (0.22, 0.48),
}
_TRIES = 24


@dataclass(frozen=True)
class Scene:
    """A scene: its kind and everything that is drawn.

    Attributes:
        kind: One of `SCENES`.
        things: What stands there.
        seed: Seed of the backdrop, the noise, and the places of objects that are added.
        light: Brightness, 1 is day.
        noise: Standard deviation of the pixel noise, in units of full scale.
        detailed: Whether the details of its kind are faint.
    """

    kind: str
    things: tuple[Thing, ...]
    seed: int
    light: float
    noise: float
    detailed: bool = False

    @property
    def details(self) -> tuple[str, ...]:
        """What is faint in this scene where it is there."""
        return SCENES[self.kind].details if self.detailed else ()

    @cached_property
    def objects(self) -> frozenset[str]:
        """Names of what can be seen: large enough, and not hidden by others."""
        return frozenset(thing.name for thing in visible_things(self.things))

    def thing(self, name: str) -> Thing:
        """The thing of this name.

        Args:
            name: One of the names in `things`.

        Raises:
            DataError: There is none.
        """
        found = [thing for thing in self.things if thing.name == name]
        if not found:
            there = ", ".join(thing.name for thing in self.things)
            raise DataError(f"this {self.kind} has no {name!r}; it has {there}")
        return found[0]

    def without(self, name: str) -> "Scene":
        """The same scene and noise, with one object taken away.

        Args:
            name: What to take away; it must be there.
        """
        gone = self.thing(name)
        return replace(self, things=tuple(thing for thing in self.things if thing is not gone))

    def with_object(self, name: str) -> "Scene":
        """The same scene and noise, with one object more, wherever there is most room.

        Args:
            name: What to add; it must not be there.

        Raises:
            DataError: There is no such object in the world, or it is there already.
        """
        _check_names([name])
        if any(thing.name == name for thing in self.things):
            raise DataError(f"this {self.kind} already has a {name!r}; add something else, or take it away first")
        rng = np.random.default_rng([self.seed, OBJECTS.index(name)])
        look = _look(rng, name, faint=name in self.details)
        return replace(self, things=(*self.things, _place(rng, look, SCENES[self.kind], self.things, crowded=False)))


def sample_scene(
    rng: np.random.Generator,
    *,
    kind: str | None = None,
    present: Collection[str] = (),
    absent: Collection[str] = (),
    cluttered: bool = False,
    detailed: bool = False,
) -> Scene:
    """Draw a scene in which everything drawn can be seen; what is not given is drawn.

    Args:
        rng: Source of all draws.
        kind: One of `SCENES`.
        present: Objects that must be there.
        absent: Objects that must not be there.
        cluttered: Whether to draw more companions and more strangers.
        detailed: Whether the details of the kind are likelier, and faint.

    Raises:
        DataError: A name is unknown, or contradicts another.
    """
    if kind is not None and kind not in SCENES:
        raise DataError(f"no kind of scene {kind!r}; choose from {', '.join(SCENES)}")
    _check_names([*present, *absent])
    if both := set(present) & set(absent):
        raise DataError(f"{', '.join(sorted(both))}: both present and absent; keep one of the two")
    kind = kind or str(rng.choice(list(SCENES)))
    while True:
        shares = _shares(kind, cluttered=cluttered, detailed=detailed)
        scene = _draw(rng, kind, _names(rng, shares, kind, present, absent), detailed=detailed)
        # Objects that others hide are no part of the truth, and would be no part of its absence either.
        if len(scene.objects) == len(scene.things):
            return scene


def _check_names(names: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(OBJECTS))
    if unknown:
        raise DataError(f"no object {', '.join(map(repr, unknown))} in the world; choose from {', '.join(OBJECTS)}")


def _shares(kind: str, *, cluttered: bool, detailed: bool) -> dict[str, float]:
    """How likely each object is."""
    companion, foreign = (
        (CLUTTERED_COMPANION_SHARE, CLUTTERED_FOREIGN_SHARE) if cluttered else (COMPANION_SHARE, FOREIGN_SHARE)
    )
    shares = dict.fromkeys(OBJECTS, foreign) | dict.fromkeys(SCENES[kind].companions, companion)
    shares |= dict.fromkeys(SCENES[kind].details, DETAIL_SHARE) if detailed else {}
    return shares | {SCENES[kind].anchor: ANCHOR_SHARE}


def _names(
    rng: np.random.Generator, shares: Mapping[str, float], kind: str, present: Collection[str], absent: Collection[str]
) -> tuple[str, ...]:
    """Anchor first, then companions, then strangers."""
    order = (SCENES[kind].anchor, *SCENES[kind].companions, *OBJECTS)
    drawn = {name for name in OBJECTS if rng.random() < shares[name]}
    return tuple(dict.fromkeys(name for name in order if name in present or (name in drawn and name not in absent)))


def _draw(rng: np.random.Generator, kind: str, names: Sequence[str], *, detailed: bool) -> Scene:
    crowded = bool(rng.random() < CROWDED_SHARE)
    things: tuple[Thing, ...] = ()
    for name in names:
        look = _look(rng, name, faint=detailed and name in SCENES[kind].details)
        things = (*things, _place(rng, look, SCENES[kind], things, crowded=crowded))
    light = float(rng.uniform(0.55, 0.8) if rng.random() < 0.2 else rng.uniform(0.85, 1.08))
    noise = float(rng.uniform(0.01, 0.05) if rng.random() < 0.7 else rng.uniform(0.05, 0.1))
    return Scene(kind, things, int(rng.integers(2**31)), light, noise, detailed)


def _place(rng: np.random.Generator, look: Thing, kind: SceneKind, others: Sequence[Thing], *, crowded: bool) -> Thing:
    """The least covered of some random places, or in crowded scenes the first that leaves both in sight."""
    tries = [_stand(rng, look, kind, others) for _ in range(_TRIES)]
    covers = [max((_cover(thing, other) for other in others), default=0.0) for thing in tries]
    if crowded:
        covers = [max(cover, 0.3) for cover in covers]
    return tries[int(np.argmin(covers))]


def _look(rng: np.random.Generator, name: str, *, faint: bool) -> Thing:
    shape = SHAPES[name]
    colour = str(rng.choice(shape.colours)) if shape.colours else ""
    red, green, blue = (
        int(np.clip(value + rng.integers(-18, 19), 0, 255)) for value in COLOURS.get(colour, (128, 128, 128))
    )
    opacity = float(rng.uniform(0.55, 0.8) if rng.random() < 0.25 else rng.uniform(0.85, 1.0))
    opacity = float(rng.uniform(*FAINT_OPACITY)) if faint else opacity
    height = float(rng.uniform(*shape.heights))
    return Thing(name, 0.5, 0.9, height, colour, (red, green, blue), opacity, bool(rng.random() < 0.5), 0.0)


def _stand(rng: np.random.Generator, look: Thing, kind: SceneKind, others: Sequence[Thing]) -> Thing:
    place = SHAPES[look.name].place
    table = next((thing for thing in others if thing.name == "dining table"), None)
    reach = max(0.5 - look.width / 2 + 0.02, 0.02)
    x = float(rng.uniform(0.5 - reach, 0.5 + reach))
    if place == "surface" and table is not None and look.width < table.width:
        reach = (table.width - look.width) / 2
        base = table.base - table.height * (1 - float(rng.uniform(TABLE_TOP / 2, TABLE_TOP)))
        x = float(rng.uniform(table.x - reach, table.x + reach))
        return replace(look, x=x, base=base, depth=table.depth + 0.001, on=table.name)
    if place == "surface" and not kind.outdoors:
        base = LEDGE if rng.random() < 0.6 else float(rng.uniform(0.82, 0.98))
    else:
        base = float(rng.uniform(*_BASES[place, kind.outdoors]))
    return replace(look, x=x, base=base, depth=base)


def _cover(one: Thing, other: Thing) -> float:
    """Shared area over the smaller area of the two boxes."""
    left, top, right, bottom = one.box
    left2, top2, right2, bottom2 = other.box
    wide = min(right, right2) - max(left, left2)
    high = min(bottom, bottom2) - max(top, top2)
    small = min(one.width * one.height, other.width * other.height)
    return max(wide, 0.0) * max(high, 0.0) / small
