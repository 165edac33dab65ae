"""Small data folders in the layouts in which COCO, POPE, AMBER and VTI's demonstrations are published."""

import json

import numpy as np
from PIL import Image

CLASSES = ("person", "cup", "dining table", "cat", "dog", "bus", "tv", "bird", "book", "chair", "clock", "oven")
SHOWN = (
    {"person", "cup", "dining table"},
    {"cat", "dog", "cup"},
    {"bus", "person", "dog"},
    {"tv", "cat", "dining table"},
    {"person", "cup"},
    {"dog", "tv", "person", "cup"},
    {"cat", "bus", "dining table"},
    {"person", "tv", "cat"},
    {"bird", "book", "chair"},
    {"clock", "oven", "person"},
    {"bird", "clock", "dog"},
    {"chair", "oven", "cup"},
    {"book", "bus", "tv"},
    {"bird", "oven", "cat"},
    {"clock", "chair", "person"},
    {"book", "cup", "bird"},
)


def write_coco(root):
    """`coco/val2014`, `coco/annotations`, `pope/coco_pope_*.json` of the first images, `vti/demos.jsonl`."""
    for split, start in (("val2014", 0), ("train2014", 100)):
        _images(root / "coco" / split, [f"COCO_{split}_{start + at:012d}.jpg" for at in range(len(SHOWN))])
    _annotations(root / "coco" / "annotations")
    _pope(root / "pope")
    _demos(root / "vti")
    return root


def _images(folder, names):
    folder.mkdir(parents=True)
    for at, name in enumerate(names):
        pixels = np.random.default_rng(at).integers(0, 255, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)


def _annotations(folder):
    folder.mkdir(parents=True)
    instances = [
        {"image_id": at, "category_id": CLASSES.index(name)} for at, shown in enumerate(SHOWN) for name in sorted(shown)
    ]
    categories = [{"id": at, "name": name} for at, name in enumerate(CLASSES)]
    captions = [{"image_id": at, "caption": "A picture."} for at in range(len(SHOWN))]
    (folder / "instances_val2014.json").write_text(json.dumps({"annotations": instances, "categories": categories}))
    (folder / "captions_val2014.json").write_text(json.dumps({"annotations": captions}))


def _pope(folder):
    folder.mkdir()
    for split, absent in (("random", "bus"), ("popular", "person"), ("adversarial", "tv")):
        rows = []
        for at, shown in enumerate(SHOWN[:3]):
            for name in (sorted(shown)[0], absent):
                rows.append(
                    {
                        "question_id": len(rows) + 1,
                        "image": f"COCO_val2014_{at:012d}.jpg",
                        "text": f"Is there a {name} in the image?",
                        "label": "yes" if name in shown else "no",
                    }
                )
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"coco_pope_{split}.json").write_text(lines)


def _demos(folder):
    folder.mkdir()
    rows = [
        {
            "image": f"COCO_train2014_{100 + at:012d}.jpg",
            "question": "describe the image",
            "value": "the image shows a cup . there is a table .",
            "h_value": f"the image shows a cup . there is a table . there is a {'cup' if at % 2 else 'table'} .",
        }
        for at in range(6)
    ]
    (folder / "demos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


TRUTH = (("cup", "table", "sky"), ("cup", "cup"), ("sky",), ("table", "person"), ("person",), ("cup", "sky"))
TEMPTING = (("person",), ("table", "sky"), ("table",), (), ("cup", "sky"), ("person",))


def write_amber(root):
    """`amber/data` with annotations, queries, associations and safe words, and `amber/images`."""
    data, names = root / "amber" / "data", [f"AMBER_{at + 1}.jpg" for at in range(len(TRUTH))]
    _images(root / "amber" / "images", names)
    (data / "query").mkdir(parents=True)
    rows = [
        {"id": at + 1, "type": "generative", "truth": list(truth), "hallu": list(hallu)}
        for at, (truth, hallu) in enumerate(zip(TRUTH, TEMPTING, strict=True))
    ]
    asked = [{"id": at + 1, "image": name, "query": "Describe this image."} for at, name in enumerate(names)]
    rows.append({"id": 7, "type": "discriminative-attribute-state", "truth": "yes"})
    asked.append({"id": 7, "image": names[0], "query": "Is the sky blue in this image?"})
    (data / "annotations.json").write_text(json.dumps(rows))
    (data / "query" / "query_all.json").write_text(json.dumps(asked))
    relations = {"cup": ["mug"], "table": ["desk"], "sky": [], "person": ["man", "user"], "image": []}
    (data / "relation.json").write_text(json.dumps(relations))
    (data / "safe_words.txt").write_text("image\n")
    return root / "amber"
