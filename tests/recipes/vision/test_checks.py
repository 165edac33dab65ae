"""Everything that is wrong with a vision recipe is told at once, with its line, before any model is loaded."""

import json
import shutil

import pytest

from mmsteer.errors import RecipeError
from mmsteer.recipes.checks import check_recipe
from mmsteer.recipes.vision.pictures import pictures_of
from tests.recipes.vision.recipe import write_recipe

CHOOSE = "choose={of: all, maximise: f1, data: {scenes: {n: 9, split: train, seed: 0}}"
COCO = "data={coco: {folder: coco, split: val2014, ids: ~, n: ~, seed: 0}}"
FILES = "ask.pope.files={random: pope/coco_pope_random.json, adversarial: pope/coco_pope_adversarial.json}"


def complaints(path, *overrides):
    with pytest.raises(RecipeError) as caught:
        check_recipe(path, overrides)
    return [line for line in str(caught.value).splitlines() if not line.startswith("    ")]


def pictures(path, *overrides):
    recipe = check_recipe(path, overrides).recipe
    return pictures_of(recipe, recipe.data)


@pytest.fixture
def recipe(tmp_path, public):
    shutil.copytree(public, tmp_path, dirs_exist_ok=True)
    return write_recipe(tmp_path, "some/model")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.scenes.split=tests", "'train', 'validation', 'test' or 'demos'"),
        ("data={coco: {folder: nowhere, split: val2014, ids: ~, n: 4, seed: 0}}", "there is no folder"),
        ("data={coco: {folder: coco, split: val2014, ids: ~, n: 99, seed: 0}}", "gives 16 images, 99 are asked for"),
        ("data={coco: {folder: coco, split: val2014, ids: gone.txt, n: 4, seed: 0}}", "gone.txt: cannot be read"),
        ("data={coco: {folder: coco, split: train2014, ids: ~, n: 4, seed: 0}}", "instances_train2014.json"),
        ("data={folder: {images: coco/val2014, objects: pope/coco_pope_random.json}}", "objects are one JSON object"),
        ("data={folder: {images: coco/val2014}}", "data.folder.objects: this key is missing"),
        ("ask.caption=~", None),
        ("ask={}", "ask for a caption, for answers (pope), or for both"),
        ("ask.pope.files={random: gone.json}", "gone.json"),
        ("ask.pope.files={random: coco/annotations/captions_val2014.json}", "of another benchmark"),
        ("ask.pope.splits=[]", "at least 1"),
        ("ask.pope.files={popular: pope/coco_pope_popular.json}", "files has popular, which splits does not ask for"),
        ("ask.pope.images=coco/val2014", "give files, too"),
        ("ask.pope.parser=loose", "'strict', 'official', 'vcd' or 'lmms'"),
        ("conditions.0.steer=[]", "either steers or decodes"),
        ("conditions.0.decode={vcd: {strength: 1, cutoff: 0.1, step: 5}}", "either steers or decodes"),
        ("conditions=[{name: x, decode: {vcd: {strength: 1, cutoff: 0.1, step: 5}}}]", "`answer: text`"),
        ("conditions=[{name: x, decode: {icd: {strength: -1.0, cutoff: 0.1}}}]", "the strength -1.0 is below 0"),
        ("conditions=[{name: x, decode: {icd: {strength: '{a}', cutoff: 0.1}}}]", "no variable 'a'"),
        ("conditions=[{name: x, decode: {}}]", "name one of vcd, icd, text_only and verify"),
        ("conditions=[{name: x, decode: {verify: {least: high}}}]", "least is 'high', which is no number"),
        ("conditions=[{name: x, decode: {verify: {least: 0.0, image: other}}}]", "'own' or 'next'"),
        ("conditions.0.steer=['honest:no 1']", "no direction 'honest:no'"),
        ("conditions.0.steer=['honest:yes 1 at somewhere']", "no term 'somewhere'"),
        ("conditions.0.target={note: C}", "no such key"),
        ("directions.0.probe=mean-diference", "did you mean 'mean-difference'"),
        ("directions.0.pool=median", "pool is one of mean, last, max, tokens"),
        ("directions.0.data.contrast=caption", "'captions'"),
        ("directions.0.data={contrast: mentions, seed: 0}", "scenes: this key is missing"),
        (
            "directions.0.data={contrast: captions, ending: shared, seed: 0, demos: {file: gone.jsonl, images: coco}}",
            "cannot be read",
        ),
        ("directions.0.data.demos.scenes.split=test", "the test's own scenes"),
        ("directions=[{file: gone.safetensors}]", "no file 'gone.safetensors'"),
        ("choose={of: all, maximise: f2, data: {scenes: {n: 2, split: validation, seed: 0}}}", "no metric 'f2'"),
        ("choose={of: all, data: {scenes: {n: 2, split: validation, seed: 0}}}", "one of the two"),
        ("choose={of: all, maximise: f1, data: {scenes: {n: 5, split: test, seed: 0}}}", "are among the test's"),
        (
            f"{CHOOSE}, bounds: {{recal: {{at_least: 0}}}}}}",
            "did you mean 'recall'",
        ),
        ("model.quantise=2bit", "'4bit' or '8bit'"),
    ],
)
def test_each_wrong_value_has_its_message(recipe, monkeypatch, override, words):
    monkeypatch.chdir(recipe.parent)
    if words is None:
        assert check_recipe(recipe, [override])
        return
    found = complaints(recipe, override)
    assert words in "\n".join(found)
    assert all(line.startswith((str(recipe), "command line")) for line in found)


def test_wrong_image_needs_the_data_of_a_direction(recipe, llava_folder):
    from torch import tensor

    from mmsteer.direction_file import save_directions
    from mmsteer.types import Direction, Site, SiteStats

    site = Site("text", 0)
    mine = Direction("mine:up", {site: tensor([1.0])}, {site: SiteStats(1.0, 0.0, 1.0, 1.0)}, "m")
    save_directions(recipe.parent / "mine.safetensors", [mine])
    lines = ["directions=[{file: mine.safetensors}]", "conditions=[{name: up, steer: ['mine:up 1']}]"]
    (line,) = complaints(recipe, *lines)
    assert "controls.wrong_image: this is fitted on the data of a direction" in line


def test_all_errors_come_at_once_with_their_lines(recipe):
    text = recipe.read_text()
    for old, new in {"batch: 2": "batch: 0", "split: test": "splt: test", "answer: logits": "answer: logit"}.items():
        assert old in text
        text = text.replace(old, new)
    recipe.write_text(text)
    found = complaints(recipe)
    lines = [line.removeprefix(str(recipe)).split(":")[1] for line in found]
    assert sorted(lines) == ["13", "16", "17"]
    assert any("did you mean 'split'" in line for line in found)


def test_images_that_cannot_be_read_are_named(recipe):
    folder = recipe.parent / "coco" / "val2014"
    whole = (folder / "COCO_val2014_000000000000.jpg").read_bytes()
    (folder / "COCO_val2014_000000000001.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "COCO_val2014_000000000002.jpg").write_bytes(b"")
    found = complaints(recipe, COCO, "ask.pope=~")
    assert len(found) == 2, found
    assert all("cannot read the image" in line for line in found), found
    assert [name in line for name, line in zip(("0001.jpg", "0002.jpg"), found, strict=True)] == [True, True]


def test_a_list_of_ids_is_read_in_any_form(recipe):
    lines = ["3", "COCO_val2014_000000000005.jpg", '{"image_id": 1, "caption": "x"}', "3"]
    (recipe.parent / "ids.txt").write_text("\n".join(lines))
    shown = pictures(recipe, COCO, "data.coco.ids=ids.txt", "ask.pope=~")
    assert [one.id[-6:-4] for one in shown] == ["03", "05", "01"]
    assert shown[0].objects == {"tv", "cat", "dining table"}
    (recipe.parent / "ids.txt").write_text("77\n3")
    assert "has no image 77 (1 of 2 are missing)" in complaints(recipe, COCO, "data.coco.ids=ids.txt")[0]


def test_published_questions_bring_their_own_images(recipe):
    lines = [COCO, "data.coco.n=2", "data.coco.seed=3", FILES]
    shown = pictures(recipe, *lines)
    described = [one for one in shown if one.objects is not None]
    assert len(described) == 2
    asked = {one.id: one.questions for one in shown if one.questions}
    assert {name[-6:-4] for name in asked} == {"00", "01", "02"}
    first = asked["COCO_val2014_000000000000.jpg"]
    assert [(one.text, one.label, one.splits) for one in first] == [
        ("Is there a cup in the image?", "yes", ("random", "adversarial")),
        ("Is there a bus in the image?", "no", ("random",)),
        ("Is there a tv in the image?", "no", ("adversarial",)),
    ]


def test_a_draw_for_the_validation_leaves_out_the_test(recipe):
    choose = "choose={of: all, maximise: f1, data: {coco: {folder: coco, split: val2014, ids: ~, n: 6, seed: 0}}}"
    checked = check_recipe(recipe, [COCO, "data.coco.n=4", FILES, choose]).recipe
    test, validation = (pictures_of(checked, source) for source in (checked.data, checked.choose.data))
    assert not {one.id for one in test} & {one.id for one in validation}
    assert len(validation) == 6


def test_a_strangers_folder(recipe):
    objects = {"000000000001.jpg": ["dog"], "COCO_val2014_000000000004.jpg": ["cup", "person"]}
    folder = recipe.parent / "mine"
    folder.mkdir()
    for name in objects:
        shutil.copy(recipe.parent / "coco" / "val2014" / f"COCO_val2014_{name[-16:]}", folder / name)
    (recipe.parent / "objects.json").write_text(json.dumps(objects))
    line = "data={folder: {images: mine, objects: objects.json}}"
    assert [one.objects for one in pictures(recipe, line, "ask.pope=~")] == [{"dog"}, {"cup", "person"}]
    (recipe.parent / "objects.json").write_text(json.dumps({"000000000001.jpg": ["dgo"]}))
    assert "did you mean 'dog'?" in complaints(recipe, line, "ask.pope=~")[0]


def _own(folder, split):
    """Six images of one's own in COCO's layout, names that are no numbers, and no captions."""
    (folder / "own" / split).mkdir(parents=True)
    (folder / "own" / "annotations").mkdir(exist_ok=True)
    for at, name in enumerate(("hall", "desk", "park", "yard", "road", "bed")):
        shutil.copy(folder / "coco" / "val2014" / f"COCO_val2014_{at:012d}.jpg", folder / "own" / split / f"{name}.jpg")
    images = [{"id": at, "file_name": f"{split}/{name}.jpg"} for at, name in enumerate(("hall", "desk", "park"))]
    kinds = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cup"}]
    seen = [{"image_id": 0, "category_id": 1}, {"image_id": 2, "category_id": 2}, {"image_id": 2, "category_id": 1}]
    file = folder / "own" / "annotations" / f"instances_{split}.json"
    file.write_text(json.dumps({"images": images, "categories": kinds, "annotations": seen}))
    return file


def test_all_nouns_are_judged_where_all_is_known_alone(recipe):
    assert not check_recipe(recipe, ["ask.caption.nouns=open"]).recipe.data.scenes.cluttered
    (line,) = complaints(recipe, COCO, "ask.caption.nouns=open")
    assert "ask.caption.nouns: only of rendered scenes is it known that nothing else is there; write coco" in line


def test_cluttered_scenes_are_other_scenes(recipe):
    plain, cluttered = (pictures(recipe, f"data.scenes.cluttered={given}", "ask.pope=~") for given in ("false", "true"))
    assert [one.id for one in plain] == [one.id for one in cluttered]
    assert [one.objects for one in plain] != [one.objects for one in cluttered]
    assert all({"wall"} <= one.backdrop or {"sky"} <= one.backdrop for one in plain)


def test_images_of_ones_own_in_the_layout_of_coco(recipe):
    _own(recipe.parent, "winter")
    (recipe.parent / "ids.txt").write_text("hall.jpg\ndesk.jpg\npark.jpg")
    line = "data={coco: {folder: own, split: winter, ids: ids.txt, n: ~, seed: 0}}"
    shown = {one.id: one.objects for one in pictures(recipe, line, "ask.pope=~")}
    assert shown == {"hall.jpg": {"dog"}, "desk.jpg": set(), "park.jpg": {"cup", "dog"}}


def test_instances_of_ones_own_say_what_a_folder_shows(recipe):
    _own(recipe.parent, "winter")
    line = "data={folder: {images: own/winter, objects: own/annotations/instances_winter.json}}"
    shown = {one.id: one.objects for one in pictures(recipe, line, "ask.pope=~")}
    assert shown == {"hall.jpg": {"dog"}, "desk.jpg": set(), "park.jpg": {"cup", "dog"}}


def test_given_questions_are_used_for_choosing_too(recipe):
    _own(recipe.parent, "winter")
    names = ("hall", "desk", "park", "yard", "road", "bed")
    rows = [
        {"question_id": at, "image": f"{name}.jpg", "text": "A dog?", "label": "no"} for at, name in enumerate(names)
    ]
    (recipe.parent / "asked.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for part, some in (("test", names[:3]), ("choose", names[3:])):
        (recipe.parent / f"{part}.json").write_text(json.dumps({f"{name}.jpg": ["dog"] for name in some}))
    checked = check_recipe(
        recipe,
        [
            "data={folder: {images: own/winter, objects: test.json}}",
            "choose={of: all, maximise: f1, data: {folder: {images: own/winter, objects: choose.json}}}",
            "ask.pope.splits=[random]",
            "ask.pope.files={random: asked.jsonl}",
        ],
    ).recipe
    for source, some in ((checked.data, names[:3]), (checked.choose.data, names[3:])):
        shown = pictures_of(checked, source)
        assert {one.id for one in shown} == {f"{name}.jpg" for name in some}
        assert all([asked.text for asked in one.questions] == ["A dog?"] for one in shown)
