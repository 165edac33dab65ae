"""The images of a recipe: what is shown, what is really there, and what is asked about it."""

import os
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from mmsteer.errors import DataError, clip
from mmsteer.eval.chair_data import image_name, read_coco, read_objects
from mmsteer.eval.chair_parser import object_parser
from mmsteer.eval.pope import Question, build_questions, read_questions
from mmsteer.json_lines import parse_json, read_text
from mmsteer.recipes.schema import Recipe
from mmsteer.recipes.vision.amber import AmberTruth, read_amber
from mmsteer.recipes.vision.schema import (
    Amber,
    AmberImages,
    Coco,
    CocoImages,
    Folder,
    Images,
    Pope,
    SceneImages,
    Scenes,
    Split,
)
from mmsteer.tasks import Row
from mmsteer.worlds.scenes import render_scene, split_scenes
from mmsteer.worlds.scenes.surroundings import surroundings

SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Asked:
    """A yes-or-no question about an image; several of POPE's splits may ask it.

    Attributes:
        text: The question.
        label: `yes` or `no`, what is right.
        splits: The splits that ask it.
    """

    text: str
    label: str
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Picture(Row):
    """An image to describe and to ask about; its name is a file's, or the scene's split, seed and number.

    Attributes:
        questions: What is asked.
        amber: Of AMBER's images what else it says of them.
        backdrop: Of rendered scenes what is there beside objects; None where that is not known.
    """

    questions: tuple[Asked, ...] = ()
    amber: AmberTruth | None = None
    backdrop: frozenset[str] | None = None


def pictures_of(recipe: Recipe, images: Any) -> tuple[Picture, ...]:
    """The pictures of a recipe, each with its questions.

    Question files serve the recipe's own images and those that conditions are tried on, each with the questions about
    it; where no file asks about images that conditions are tried on, their questions are built from the truth. Images
    that conditions are tried on are drawn from what the test does not show.

    Args:
        recipe: The recipe.
        images: Its images, or those that conditions are tried on.

    Raises:
        DataError: An image or its truth is missing.
        EvalError: A file of annotations or questions is broken, or of another benchmark.
    """
    test = images == recipe.data
    taken = frozenset() if test else frozenset(one.id for one in pictures_of(recipe, recipe.data))
    assert recipe.ask is not None
    said, pope = recipe.ask.caption, recipe.ask.pope
    shown = [replace(one, prompt=said.prompt if said else None) for one in pictures_in(images, taken)]
    if pope is None:
        return tuple(shown)
    questions: dict[str, Sequence[Question]] = {
        split: _questions(recipe, pope, split, shown, test=test) for split in pope.splits
    }
    asked = _asked(questions)
    known = {picture.id: picture for picture in shown}
    others = [_named(name, pope, images) for name in asked if name not in known]
    captioned = shown if said else [one for one in shown if one.id in asked]
    return tuple(replace(one, questions=asked.get(one.id, ())) for one in (*captioned, *others))


def _questions(recipe: Recipe, pope: Pope, split: Split, shown: Sequence[Picture], *, test: bool) -> Sequence[Question]:
    """The questions of a split about some pictures; about the test's also about pictures that only a file names."""
    given = read_questions(pope.files[split]) if split in pope.files else ()
    names = {picture.id for picture in shown}
    if test and given:
        others = _tried_on(recipe) - names
        return [one for one in given if one.image not in others]
    return [one for one in given if one.image in names] or _built(pope, split, shown)


def _tried_on(recipe: Recipe) -> frozenset[str]:
    """Images that conditions are tried on, as far as they are named and not drawn from what the test leaves."""
    images = recipe.choose.data if recipe.choose else None
    source = (
        images.coco if isinstance(images, CocoImages) else images.amber if isinstance(images, AmberImages) else None
    )
    if images is None or (source is not None and source.n is not None):
        return frozenset()
    return frozenset(one.id for one in pictures_in(images, ()))


def pictures_in(images: Any, taken: Collection[str]) -> Sequence[Picture]:
    """Images of any source, with what they show and no question.

    Args:
        images: Where they are from.
        taken: Names that are not to be drawn.

    Raises:
        DataError: An image or its truth is missing.
    """
    if isinstance(images, SceneImages):
        return _scenes(images.scenes)
    if isinstance(images, AmberImages):
        return _amber(images.amber, taken)
    return _coco(images.coco, taken) if isinstance(images, CocoImages) else _folder(images.folder)


def scene_names(scenes: Scenes) -> list[str]:
    """The names of scenes, without drawing any."""
    return [f"{scenes.split}-{scenes.seed}-{at:05d}" for at in range(scenes.n)]


@lru_cache(maxsize=4)
def _scenes(scenes: Scenes) -> tuple[Picture, ...]:
    """Drawing a scene takes milliseconds, and choosing and the run ask for the same ones."""
    drawn = split_scenes(scenes.split, scenes.n, scenes.seed, cluttered=scenes.cluttered, detailed=scenes.detailed)
    return tuple(
        replace(_picture(name, partial(render_scene, scene), scene.objects), backdrop=surroundings(scene))
        for name, scene in zip(scene_names(scenes), drawn, strict=True)
    )


def _coco(coco: Coco, taken: Collection[str]) -> list[Picture]:
    folder = Path(coco.folder)
    places = _files(folder / coco.split)
    known = {image_name(name): path for name, path in places.items()}
    annotations = folder / "annotations" / f"instances_{coco.split}.json"
    if not os.path.isfile(annotations):
        raise DataError(
            f"there is no {annotations}, which says what the images show; of COCO's own splits it is in "
            "annotations_trainval2014.zip"
        )
    names = _ids(Path(coco.ids)) if coco.ids else sorted(known, key=_order)
    missing = [name for name in names if name not in known]
    if missing:
        raise DataError(
            f"{folder / coco.split} has no image {missing[0]} ({len(missing)} of {len(names)} are missing); add them, "
            f"of COCO's own splits from {coco.split}.zip, or name others in `ids`"
        )
    if coco.n is not None:
        free = [name for name in names if known[name].name not in taken]
        names = _drawn(free, coco.n, coco.seed, folder / coco.split)
    truth = _coco_truth(folder / "annotations", tuple(names), coco.split)
    return [_picture(known[name].name, known[name], truth.get(name, frozenset())) for name in names]


@lru_cache(maxsize=4)
def _coco_truth(folder: Path, names: tuple[str, ...], split: str) -> Mapping[str, frozenset[str]]:
    """Reading the annotations takes long, and both the checks and the run ask for them."""
    return read_coco(folder, object_parser(), names, (split,))


def _folder(folder: Folder) -> list[Picture]:
    truth = read_objects(folder.objects)
    places = {image_name(name): path for name, path in _files(Path(folder.images)).items()}
    _check_all(truth, places, folder.objects, folder.images)
    return [_picture(places[name].name, places[name], objects) for name, objects in truth.items()]


def _amber(amber: Amber, taken: Collection[str]) -> list[Picture]:
    truth, places = read_amber(amber), _files(Path(amber.images))
    _check_all(truth, places, amber.folder, amber.images)
    names = list(truth)
    if amber.n is not None:
        names = _drawn([name for name in names if name not in taken], amber.n, amber.seed, Path(amber.images))
    return [_picture(name, places[name], frozenset(truth[name].shown), truth[name]) for name in names]


def _picture(name: str, image: Any, objects: frozenset[str] | None, amber: AmberTruth | None = None) -> Picture:
    return Picture(name, name, images=(image,), objects=objects, amber=amber)


def _check_all(truth: Collection[str], places: Collection[str], source: str, folder: str) -> None:
    missing = [name for name in truth if name not in places]
    if missing:
        raise DataError(
            f"{source} names the image {missing[0]}, which {folder} does not have ({len(missing)} of {len(truth)} are "
            "missing)"
        )


def _files(folder: Path) -> dict[str, Path]:
    if not os.path.isdir(folder):
        raise DataError(f"there is no folder {folder}; the images are looked for there")
    found = {path.name: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}
    if not found:
        raise DataError(f"{folder} holds no image ({', '.join(SUFFIXES)})")
    return found


def _ids(path: Path) -> list[str]:
    """The images that a file names: one a line, alone or as JSON with `image_id` or `image`.

    Raises:
        DataError: It cannot be read, or names none.
    """
    lines = [line.strip() for line in read_text(path).split("\n") if line.strip()]
    names = [_id(path, at, line) for at, line in enumerate(lines, start=1)]
    if not names:
        raise DataError(f"{path} names no image; write one id a line")
    return list(dict.fromkeys(names))


def _id(path: Path, at: int, line: str) -> str:
    if not line.startswith("{"):
        return image_name(line)
    try:
        row = parse_json(line, f"{path}:{at}", DataError, numbered=False)
        return image_name(row["image_id"] if "image_id" in row else row["image"])
    except (KeyError, DataError):
        raise DataError(f"{path}:{at}: no image_id in {clip(line)}; write one id a line") from None


def _order(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdecimal() else (-1, name)


def _drawn(names: list[str], n: int, seed: int, place: Path) -> list[str]:
    if n > len(names):
        raise DataError(f"{place} gives {len(names)} images, {n} are asked for; ask for fewer")
    return random.Random(seed).sample(names, n)


def _built(pope: Pope, split: Split, shown: Sequence[Picture]) -> Sequence[Question]:
    truth = {picture.id: picture.objects or frozenset() for picture in shown}
    return build_questions(truth, split, pope.seed)


def _asked(questions: Mapping[str, Sequence[Question]]) -> dict[str, tuple[Asked, ...]]:
    """For each image its questions; one that several splits ask is asked once."""
    found: dict[str, dict[tuple[str, str], list[str]]] = {}
    for split, some in questions.items():
        for one in some:
            found.setdefault(one.image, {}).setdefault((one.text, one.label), []).append(split)
    return {
        image: tuple(Asked(text, label, tuple(splits)) for (text, label), splits in rows.items())
        for image, rows in found.items()
    }


def _named(name: str, pope: Pope, images: Images) -> Picture:
    """A picture that only a question file names.

    Raises:
        DataError: It is not there.
    """
    home = pope.images or (str(Path(images.coco.folder) / images.coco.split) if isinstance(images, CocoImages) else "")
    path = Path(home) / name
    if not home or not os.path.isfile(path):
        raise DataError(f"there is no image {path}, which a question file names; give their folder as ask.pope.images")
    return _picture(name, path, None)
