"""Splits of the world that never share a scene."""

import numpy as np

from mmsteer.errors import DataError
from mmsteer.worlds.scenes.captions import absent_companions
from mmsteer.worlds.scenes.kinds import SCENES
from mmsteer.worlds.scenes.scene import Scene, sample_scene

SPLITS = ("train", "validation", "test", "demos")


def split_scenes(
    split: str, n: int, seed: int, *, cluttered: bool = False, detailed: bool = False
) -> tuple[Scene, ...]:
    """The first scenes of a split, kinds in turn; those of `demos` can all be told wrongly by `caption_pair`.

    Detailed ones of `demos` lack a detail that would be seen.

    Scene number i depends on the split, the seed and i alone.

    Args:
        split: One of `SPLITS`.
        n: How many.
        seed: Any; different seeds give different scenes.
        cluttered: Whether more objects stand in them.
        detailed: Whether some of them are likely and faint.

    Raises:
        DataError: There is no such split.
    """
    if split not in SPLITS:
        raise DataError(f"no split {split!r}; choose from {', '.join(SPLITS)}")
    return tuple(split_scene(split, index, seed, cluttered=cluttered, detailed=detailed) for index in range(n))


def split_scene(split: str, index: int, seed: int, *, cluttered: bool = False, detailed: bool = False) -> Scene:
    """One scene of a split.

    Args:
        split: One of `SPLITS`.
        index: Its number.
        seed: The split's seed.
        cluttered: Whether more objects stand in it.
        detailed: Whether some of them are likely and faint.
    """
    rng = np.random.default_rng([SPLITS.index(split), seed, index])
    kind = list(SCENES)[index % len(SCENES)]
    scene = sample_scene(rng, kind=kind, cluttered=cluttered, detailed=detailed)
    while split == "demos" and not _can_be_told_wrongly(scene):
        scene = sample_scene(rng, kind=kind, cluttered=cluttered, detailed=detailed)
    return scene


def _can_be_told_wrongly(scene: Scene) -> bool:
    if scene.detailed:
        return {SCENES[scene.kind].anchor} < scene.objects and any(
            scene.with_object(name).objects == scene.objects | {name}
            for name in absent_companions(scene)
            if name in scene.details
        )
    return bool(absent_companions(scene)) and {SCENES[scene.kind].anchor} < scene.objects
