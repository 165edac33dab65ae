"""Whether the object that a caption names is where the map is hot, in rendered scenes.

    python benchmarks/heat_maps.py [SCENES] [--resample]

`bundled:vision` describes each scene, and every patch is credited for the name of each object that the description
names and that is there. The hottest patch is compared with the object's box, for the model as it is and, as a control,
with the boxes of the other objects of the scene. A patch that is taken away is the mean of the image's patches, or with
--resample that of the next scene that does not have the object.
"""

import argparse
from collections.abc import Iterator, Sequence

import torch

import mmsteer
from mmsteer.adapters import AnyAdapter
from mmsteer.attribution import Effort, TokenUnits, attribute, of_words
from mmsteer.types import Positions, Sample, Sampling
from mmsteer.worlds.scenes import Scene, render_scene, split_scenes

PROMPT = "Please describe this image in detail."
TECHNIQUES = ("occlusion", "integrated-gradients", "gradient", "saliency")
SEED = 14


def inside(scene: Scene, name: str, patches: int) -> torch.Tensor:
    """Which patches an object's box touches, (patches,) bool, row by row."""
    left, top, right, bottom = (round(edge * 1e6) / 1e6 for edge in scene.thing(name).box)
    side = round(patches**0.5)
    low, high = torch.arange(side) / side, (torch.arange(side) + 1) / side
    across, down = (low < right) & (high > left), (low < bottom) & (high > top)
    return (down[:, None] & across).flatten()


def named(adapter: AnyAdapter, count: int) -> Iterator[tuple[Scene, Sample, str]]:
    """Scenes with their descriptions, and each object that is named and there."""
    scenes = split_scenes("test", count, SEED)
    samples = [Sample(str(at), PROMPT, (render_scene(scene),)) for at, scene in enumerate(scenes)]
    for scene, told in zip(scenes, adapter.generate(samples, Sampling(tokens=48, temperature=0.0)), strict=True):
        for name in sorted(scene.objects):
            if f" {name}" in str(told.output).lower():
                yield scene, told, name


def without(cases: Sequence[tuple[Scene, Sample, str]], name: str) -> Sample:
    """The first described scene that does not have an object."""
    return next(told for scene, told, _ in cases if name not in scene.objects)


def main() -> None:
    """Print shares for each technique."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("scenes", type=int, nargs="?", default=40)
    parser.add_argument("--resample", action="store_true")
    given = parser.parse_args()
    adapter = mmsteer.load("bundled:vision")
    cases = list(named(adapter, given.scenes))
    print(f"{len(cases)} named objects in {len({id(scene) for scene, _, _ in cases})} scenes")
    for technique in TECHNIQUES:
        hits, areas, others = [], [], []
        for at, (scene, told, name) in enumerate(cases):
            units = TokenUnits(Positions("image"))
            if given.resample:
                units = units.resampled(adapter, without(cases[at:] + cases[:at], name))
            found = attribute(adapter, told, of_words(adapter, told, name), units, technique, Effort(steps=16))
            hottest = int(found.values.argmax())
            mine = inside(scene, name, len(found.values))
            hits.append(bool(mine[hottest]))
            areas.append(float(mine.float().mean()))
            others += [bool(inside(scene, one, len(mine))[hottest]) for one in scene.objects - {name}]
        shares = (sum(some) / len(some) for some in (hits, areas, others))
        print(
            technique,
            *(
                f"{text} {share:.2f}"
                for text, share in zip(
                    (
                        "hottest patch in the box",
                        "share of patches in the box",
                        "hottest patch in another object's box",
                    ),
                    shares,
                    strict=True,
                )
            ),
            sep=", ",
            flush=True,
        )


if __name__ == "__main__":
    main()
