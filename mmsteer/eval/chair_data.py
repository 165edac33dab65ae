"""What CHAIR reads: captions, and which objects each image really shows."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from mmsteer.errors import EvalError, clip, shorten
from mmsteer.eval.answers import Row, read_json, read_rows, read_text
from mmsteer.eval.chair_parser import Parse, mentioned

_FILE_NAME = re.compile(r"(?:COCO_(?:train|val|test)\d{4}_)?(\d+)(?:\.(?:jpg|jpeg|png))?", re.IGNORECASE)
SPLITS = ("train2014", "val2014")

Truth = Mapping[str, frozenset[str]]
"""For each image the classes of the objects in it."""


@dataclass(frozen=True)
class Caption:
    """One caption and where it was read.

    Attributes:
        image: Name of its image, as `image_name` writes it.
        text: What it says.
        where: `file:line`.
    """

    image: str
    text: str
    where: str


def image_name(value: int | str) -> str:
    """One name for an image, however it is written.

    `value`: A number, a number in a string, a COCO file name, or any other name, which stays as it is.

    >>> {image_name(value) for value in (42, "42", "COCO_val2014_000000000042.jpg")}
    {'42'}
    """
    name = str(value)
    match = _FILE_NAME.fullmatch(name[max(name.rfind("/"), name.rfind("\\")) + 1 :])
    return match[1].lstrip("0") or "0" if match else name


def read_captions(path: str | Path) -> tuple[Caption, ...]:
    """Captions as `{"image_id": ..., "caption": ...}`, JSON lines or one JSON array.

    Raises:
        EvalError: The file is missing, broken or of another benchmark, or an image comes twice.
    """
    found: dict[str, Row] = {}
    for row in read_rows(path, ("image_id", "caption"), "a caption"):
        image = image_name(row.id("image_id"))
        if image in found:
            raise EvalError(
                f"{row.where}: image {shorten(image)} has a caption already, on line {found[image].line}; keep one"
            )
        found[image] = row
    return tuple(Caption(image, row.text("caption"), row.where) for image, row in found.items())


def check_images(captions: Sequence[Caption], truth: Truth, source: str | Path) -> None:
    """See that every caption's image is known.

    Raises:
        EvalError: An image is unknown.
    """
    unknown = [caption for caption in captions if caption.image not in truth]
    if unknown:
        raise EvalError(
            f"{unknown[0].where}: {source} knows no image {shorten(unknown[0].image)} "
            f"({len(unknown)} of {len(captions)} captions are of unknown images); "
            "give the annotations of the captioned images"
        )


def read_objects(path: str | Path) -> Truth:
    """Objects as `{image: [class, ...]}`, or instances in the layout of COCO.

    Raises:
        EvalError: The file is missing, broken or of another form, or an image comes twice.
    """
    # A file of JSON lines is better told apart from a mapping than called broken JSON.
    first = read_text(Path(path)).lstrip().partition("\n")[0]
    value = None if _is_record(first) else read_json(path)
    own = Path(path).stem.removeprefix("instances_") not in SPLITS
    if own and isinstance(value, dict) and {"annotations", "categories"} <= value.keys():
        return _grouped(Path(path))
    if not isinstance(value, dict) or not all(_are_names(names) for names in value.values()):
        raise EvalError(
            f"{path}: objects are one JSON object {{image: [class, ...]}}, such as "
            '{"42": ["dog", "tv"]}, or instances of your own as COCO has them; for the annotation files of COCO, whose '
            "truth counts captions, too, give their folder as --coco"
        )
    truth = {image_name(image): frozenset(names) for image, names in value.items()}
    if len(truth) != len(value):
        raise EvalError(f"{path}: an image is written in two ways, such as 42 and 042; write each once")
    return truth


def _is_record(line: str) -> bool:
    return line.startswith('{"') and line.rstrip().endswith("}") and '"image' in line and '"annotations"' not in line


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _grouped(path: Path) -> Truth:
    """The objects of every image that a file of instances lists or annotates."""
    truth: dict[str, set[str]] = {name: set() for name in _file_names(read_json(path)).values()}
    for image, name in _instances(path):
        truth.setdefault(image, set()).add(name)
    return {image: frozenset(names) for image, names in truth.items()}


def read_coco(folder: str | Path, parse: Parse, images: Collection[str], splits: Sequence[str] | None = None) -> Truth:
    """Objects as CHAIR defines them: COCO's instances, and what the human captions name.

    Args:
        folder: Holds `instances_*.json` and `captions_*.json`, as published, or of one's own images in that layout;
            there captions may be missing.
        parse: The reader of the human captions.
        images: The images that are asked for; the captions of others are not parsed.
        splits: Which files, such as val2014; None for train2014 and val2014, and where there is neither, for all.

    Raises:
        EvalError: A file is missing or is not COCO's.
    """
    wanted, truth = set(images), dict[str, set[str]]()
    for split in _splits(Path(folder), splits):
        for image, name in _instances(Path(folder) / f"instances_{split}.json"):
            if image in wanted:
                truth.setdefault(image, set()).add(name)
        said = Path(folder) / f"captions_{split}.json"
        for image, text in _captions(said) if os.path.exists(said) else ():
            if image in wanted:
                truth.setdefault(image, set()).update(mentioned(parse, [text]))
    return {image: frozenset(names) for image, names in truth.items()}


def _splits(folder: Path, wanted: Sequence[str] | None) -> list[str]:
    there = sorted(path.stem.removeprefix("instances_") for path in folder.glob("instances_*.json"))
    found = [split for split in wanted or SPLITS if split in there] or ([] if wanted else there)
    # The truth of COCO's own splits counts what people say, too.
    missing = [split for split in found if split in SPLITS and not os.path.exists(folder / f"captions_{split}.json")]
    if missing or not found:
        name = f"captions_{missing[0]}.json" if missing else f"instances_{(wanted or SPLITS[1:])[0]}.json"
        raise EvalError(
            f"{folder}: no {name}; CHAIR needs instances_*.json and captions_*.json of train2014, val2014 or both, "
            "from annotations_trainval2014.zip"
        )
    return found


def _instances(path: Path) -> Iterator[tuple[str, str]]:
    data = _load(path, ("image_id", "category_id"))
    listed = data.get("categories")
    if not isinstance(listed, list) or not all(isinstance(one, dict) and _is_id(one.get("id")) for one in listed):
        raise EvalError(f"{path}: categories are a list of {{id, name}}, as COCO's are; download it again")
    names = {category["id"]: str(category.get("name")) for category in listed}
    files = _file_names(data)
    for image, category in data["annotations"]:
        if category not in names:
            raise EvalError(f"{path}: no category {clip(category)} in its list; is it a file of another benchmark?")
        yield files.get(image, image_name(image)), names[category]


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str)


def _captions(path: Path) -> Iterator[tuple[str, str]]:
    data = _load(path, ("image_id", "caption"))
    files = _file_names(data)
    for image, text in data["annotations"]:
        yield files.get(image, image_name(image)), str(text)


def _file_names(data: Mapping[str, Any]) -> dict[int | str, str]:
    """The name of each image by its id, where the file lists images."""
    listed = [one for one in data.get("images") or () if isinstance(one, dict) and _is_id(one.get("id"))]
    return {one["id"]: image_name(PurePath(str(one["file_name"])).name) for one in listed if one.get("file_name")}


def _load(path: Path, keys: tuple[str, str]) -> dict[str, Any]:
    """An annotation file, each annotation cut to two fields as it is read: the outlines take gigabytes.

    Raises:
        EvalError: The file cannot be read, or its annotations are of another kind.
    """

    def cut(value: dict[str, Any]) -> Any:
        return (value[keys[0]], value[keys[1]]) if keys[0] in value and keys[1] in value else value

    data = read_json(path, cut)
    rows = data.get("annotations") if isinstance(data, dict) else None
    if (
        not isinstance(rows, list)
        or not rows
        or not all(isinstance(row, tuple) and all(map(_is_id, row)) for row in rows)
    ):
        raise EvalError(
            f"{path}: its annotations have no {keys[0]} and {keys[1]}, as COCO's do; is it a file of another benchmark?"
        )
    return data
