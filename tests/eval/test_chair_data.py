import json

import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.chair_data import check_images, image_name, read_captions, read_coco, read_objects
from mmsteer.eval.chair_parser import object_parser

CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}, {"id": 1, "name": "person"}]


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


@pytest.fixture
def coco(tmp_path):
    """A folder as COCO publishes it, cut to three images."""
    for split, first in (("train2014", 1), ("val2014", 42)):
        outline = {"segmentation": [[1.5, 2.0]], "bbox": [0, 0, 1, 1], "iscrowd": 0}
        rows = [{"id": 7, "image_id": first, "category_id": 18, **outline}]
        images = [{"id": first, "file_name": f"COCO_{split}_{first:012}.jpg"}]
        write(tmp_path / f"instances_{split}.json", {"images": images, "annotations": rows, "categories": CATEGORIES})
        said = [{"image_id": first, "id": 1, "caption": "Two Women with a dog."}]
        said += [{"image_id": first + 1, "id": 2, "caption": "A bus."}]
        write(tmp_path / f"captions_{split}.json", {"images": images, "annotations": said})
    return tmp_path


def test_coco_is_the_union_of_instances_and_captions(coco):
    truth = read_coco(coco, object_parser(), ["1", "42", "43"])
    assert truth == {"1": {"dog", "person"}, "42": {"dog", "person"}, "43": {"bus"}}
    assert read_coco(coco, object_parser("pattern"), ["43"]) == {"43": set()}, "the mode reads the human captions too"


def test_one_split_is_enough_but_both_kinds_are_needed(coco, tmp_path):
    for kind in ("instances", "captions"):
        (coco / f"{kind}_train2014.json").unlink()
    assert read_coco(coco, object_parser(), ["1", "42"]).keys() == {"42"}
    (coco / "captions_val2014.json").unlink()
    with pytest.raises(EvalError, match=r"no captions_val2014.json; CHAIR needs"):
        read_coco(coco, object_parser(), ["42"])
    with pytest.raises(EvalError, match=r"no instances_val2014.json"):
        read_coco(tmp_path / "nowhere", object_parser(), ["42"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instances", [{"type": "generative", "truth": ["dog"]}]),
        ("instances", {"annotations": [{"image_id": 1, "segments_info": []}], "categories": CATEGORIES}),
        ("instances", {"annotations": [{"image_id": 1, "category_id": 900}], "categories": CATEGORIES}),
        ("captions", {"annotations": [{"image_id": 1, "question": "What?"}]}),
        ("captions", {"annotations": []}),
    ],
)
def test_annotations_of_another_benchmark(coco, name, value):
    write(coco / f"{name}_val2014.json", value)
    with pytest.raises(EvalError, match=rf"{name}_val2014.json: .* is it a file of another benchmark"):
        read_coco(coco, object_parser(), ["1"])


def test_a_broken_annotation_file(coco):
    write(coco / "instances_val2014.json", '{"annotations": [\n')
    with pytest.raises(EvalError, match=r"instances_val2014.json:2: not JSON"):
        read_coco(coco, object_parser(), ["1"])


@pytest.mark.parametrize(
    ("value", "name"),
    [
        *[(42, "42"), ("42", "42"), ("000000000042.jpg", "42"), ("COCO_val2014_000000000042.jpg", "42"), (0, "0")],
        *[("val2014/COCO_val2014_000000000042.jpg", "42"), ("kitchen-7", "kitchen-7"), ("scene7.png", "scene7.png")],
    ],
)
def test_one_name_for_an_image(value, name):
    assert image_name(value) == name


def test_captions(tmp_path):
    path = write(tmp_path / "c.jsonl", '{"image_id": "COCO_val2014_000000000042.jpg", "caption": "é"}\n\n'
                 '{"image_id": 7, "caption": ""}\n')  # fmt: skip
    first, second = read_captions(path)
    assert (first.image, first.text) == ("42", "é")
    assert second.where == f"{path}:3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"image_id": 1, "caption": "a"}\n{"image_id": 2,\n', ":2: not JSON"),
        ('{"image_id": 1, "caption": "a"}\n{"image_id": "000001.jpg", "caption": "b"}', ":2: .* already, on line 1"),
        ('{"question_id": 1, "image": "a.jpg", "text": "Is there a cat?", "label": "no"}', "another benchmark"),
        ('{"image_id": 1, "caption": null}', ":1: caption is None; give a string"),
        ('{"image_id": true, "caption": "a"}', ":1: image_id is True"),
        ("[1, 2]", ":1: a record is a JSON object"),
        ("", "is empty"),
    ],
)
def test_captions_that_cannot_be_read(tmp_path, text, message):
    with pytest.raises(EvalError, match=message):
        read_captions(write(tmp_path / "c.jsonl", text))


def test_captions_of_unknown_images(tmp_path):
    path = write(tmp_path / "c.jsonl", '{"image_id": 1, "caption": "a"}\n{"image_id": 2, "caption": "b"}')
    with pytest.raises(EvalError, match=r"c.jsonl:2: o.json knows no image 2 \(1 of 2"):
        check_images(read_captions(path), {"1": frozenset()}, "o.json")


def test_objects(tmp_path):
    path = write(tmp_path / "o.json", {"000042.jpg": ["dog"], "7": []})
    assert read_objects(path) == {"42": {"dog"}, "7": frozenset()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"question_id": 1, "image": "a.jpg", "label": "no"}\n{"question_id": 2}', "objects are one JSON object"),
        ('{"annotations": [{"image_id": 1}]}', "give their folder as --coco"),
        ('[{"id": 1, "truth": ["dog"]}]', "objects are one JSON object"),
        ('{"1": "dog"}', "objects are one JSON object"),
        ('{"42": [], "042": []}', "written in two ways"),
        ('{"1": [', "not JSON"),
    ],
)
def test_objects_that_cannot_be_read(tmp_path, text, message):
    with pytest.raises(EvalError, match=message):
        read_objects(write(tmp_path / "o.json", text))
