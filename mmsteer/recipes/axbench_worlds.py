"""AxBench on the rendered worlds: concepts are objects of images, or notes and instruments of clips."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mmsteer.adapters import AnyAdapter
from mmsteer.axbench.concepts import Concept, Example
from mmsteer.errors import RecipeError
from mmsteer.eval.chair_parser import mentioned, object_parser
from mmsteer.eval.text import Reference
from mmsteer.tasks import Row
from mmsteer.types import Sample
from mmsteer.worlds.music.rows import MusicWorld
from mmsteer.worlds.scenes.rows import SceneWorld

WorldName = Literal["objects", "notes", "instruments"]
FEWEST = 20
"""Captions that name an object, of training and test together, that make it a concept."""
SHOWN, EACH, ASKED, SEED = 240, 12, 48, 41
"""Captions; clips of each label; instructions; and the seed of all."""
BEHIND = {"objects": " Mention the {name}.", "notes": ", {name}", "instruments": ", {name}"}
"""What the baseline that prompts puts behind an instruction."""


@dataclass(frozen=True, eq=False)
class WorldSet:
    """Concepts of a world.

    Attributes:
        concepts: With examples of both sides.
        instructions: What steered models are asked.
        references: What is true of each instruction, by its id.
        fits: Whether an instruction may be asked for a concept.
    """

    concepts: tuple[Concept, ...]
    instructions: tuple[Sample, ...]
    references: Mapping[str, Reference]
    fits: Callable[[Concept, Sample], bool]


def world_set(name: WorldName, adapter: AnyAdapter) -> WorldSet:
    """The concepts of a world, as a model reads them.

    Args:
        name: Which.
        adapter: The model.

    Raises:
        RecipeError: The model takes or makes nothing of the kind.
    """
    needs = adapter.sees if name == "objects" else adapter.output_kind == "audio"
    if not needs:
        wanted = "sees images" if name == "objects" else "makes audio"
        raise RecipeError(
            f"world: {name} asks for a model that {wanted}; name one, such as bundled:vision or bundled:music"
        )
    return _objects(adapter) if name == "objects" else _sounds(name, adapter)


def _objects(adapter: AnyAdapter) -> WorldSet:
    shown = SceneWorld().captioned(SHOWN, SEED)
    parse = object_parser()
    named = {row.id: mentioned(parse, [str(row.answer)]) for row in shown}
    asked = SceneWorld().pictured({"test": ASKED}, SEED).rows
    counts: dict[str, int] = {}
    for row in shown:
        for thing in named[row.id]:
            counts[thing] = counts.get(thing, 0) + 1
    names = [name for name in sorted(counts, key=lambda name: (-counts[name], name)) if counts[name] >= FEWEST]
    # A caption that leaves out what its image shows is on neither side.
    sided = [[row for row in shown if (name in named[row.id]) or name not in (row.objects or ())] for name in names]
    concepts = [
        _concept("objects", at, name, rows, [name in named[row.id] for row in rows], adapter)
        for at, (name, rows) in enumerate(zip(names, sided, strict=True))
    ]
    references = {row.id: row.reference for row in asked}

    def fits(concept: Concept, sample: Sample) -> bool:
        return concept.text not in (references[sample.id].objects or ())

    return WorldSet(tuple(concepts), tuple(row.sample(adapter) for row in asked), references, fits)


def _sounds(name: WorldName, adapter: AnyAdapter) -> WorldSet:
    attribute = name.removesuffix("s")
    rows = MusicWorld().labelled(attribute, EACH, ASKED, SEED).rows
    clips = [row for row in rows if row.label is not None]
    asked = [row for row in rows if row.split == "test"]
    labels = list(dict.fromkeys(str(row.label) for row in clips))
    concepts = [
        replace(
            _concept(name, at, label, clips, [row.label == label for row in clips], adapter),
            text=f"{attribute}:{label}",
        )
        for at, label in enumerate(labels)
    ]
    references = {row.id: row.reference for row in asked}
    return WorldSet(tuple(concepts), tuple(row.sample(adapter) for row in asked), references, lambda *_: True)


def _concept(
    world: WorldName, at: int, name: str, rows: Sequence[Row], positive: Sequence[bool], adapter: AnyAdapter
) -> Concept:
    """A concept whose examples are halved into training and test, each side by turns."""
    parts: tuple[list[Example], list[Example]] = ([], [])
    for side in (True, False):
        mine = [row for row, is_one in zip(rows, positive, strict=True) if is_one == side]
        for number, row in enumerate(mine):
            sample = row.sample(adapter, answered=True)
            parts[number % 2].append(Example(sample.text, row.answer or "", side, given=sample))
    return Concept(at, name, tuple(parts[0]), tuple(parts[1]), BEHIND[world].format(name=name))
