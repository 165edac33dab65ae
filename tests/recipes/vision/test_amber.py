"""AMBER's folder as the images of a recipe, and its metrics as its evaluator gives them."""

import json

import pytest

from mmsteer.errors import RecipeError
from mmsteer.eval.amber import read_items, score_descriptions
from mmsteer.eval.amber_words import read_vocabulary
from mmsteer.recipes.checks import check_recipe
from mmsteer.recipes.experiment import prepare
from mmsteer.recipes.folder import SAMPLES
from mmsteer.recipes.run import run
from mmsteer.recipes.vision.amber import read_amber
from mmsteer.recipes.vision.pictures import pictures_of
from mmsteer.recipes.vision.schema import Amber
from mmsteer.report import write_report
from tests.recipes.vision.layouts import write_amber
from tests.recipes.vision.recipe import write_recipe

IMAGES = "data={amber: {folder: amber/data, images: amber/images, n: ~, seed: 0}}"
LINES = [IMAGES, "ask.pope=~"]
CHOOSE = "choose={of: all, minimise: chair_s, bounds: {cog: {at_most: 0.5}}, data: IMAGES}"
VALIDATION = CHOOSE.replace("IMAGES", "{amber: {folder: amber/data, images: amber/images, n: 2, seed: 1}}")


@pytest.fixture
def recipe(tmp_path, llava_folder):
    write_amber(tmp_path)
    return write_recipe(tmp_path, llava_folder)


def score(folder, captions):
    """The evaluator's numbers, as shares."""
    judged = read_items(folder / "annotations.json", folder / "query" / "query_all.json")
    vocabulary = read_vocabulary(folder / "relation.json", folder / "safe_words.txt")
    found = score_descriptions(judged, captions, vocabulary)
    return {name: getattr(found, name).value / 100 for name in ("chair", "cover", "hal", "cog")}


def test_a_description_is_read_by_hand(recipe):
    data = str(recipe.parent / "amber" / "data")
    truth = read_amber(Amber(folder=data, images="images", n=None, seed=0))["AMBER_2.jpg"]
    read = truth.read("An Image of a mug, two desks and a man.")
    named = [(one["words"], one["object"], one["hallucinated"]) for one in read["mentions"]]
    assert named == [("Image", "image", False), ("mug", "mug", False), ("desks", "desk", True), ("man", "man", True)]
    # The mug stands for both cups; of table and sky the table was tempting.
    assert (read["covered"], read["missed"], read["tempted"], read["tempting"]) == (2, [], 1, 2)
    assert read["mentions"][2]["start"] == 23


def test_a_run_gives_the_numbers_of_the_evaluator(recipe, tmp_path):
    folder = run(prepare(recipe, LINES), tmp_path / "run", progress=False)
    lines = [line for line in folder.lines(SAMPLES) if line["condition"] == "honest at 0.2"]
    assert [line["id"] for line in lines] == [f"AMBER_{at + 1}.jpg" for at in range(6)]
    assert any(line["mentions"] for line in lines)
    wanted = score(recipe.parent / "amber" / "data", {at + 1: line["caption"] for at, line in enumerate(lines)})
    row = next(row for row in folder.read("scores.json")["rows"] if row["condition"] == "honest at 0.2")
    found = {name: one["steered"]["value"] for name, one in row["metrics"].items()}
    assert found["chair_i"] == pytest.approx(wanted["chair"])
    assert (found["recall"], found["cog"]) == pytest.approx((wanted["cover"], wanted["cog"]))
    said = sum(bool(line["caption"]) for line in lines)
    assert found["chair_s"] == pytest.approx(wanted["hal"] * len(lines) / said)
    assert row["metrics"]["cog"]["against_wrong_image"] is not None
    truth = {one["id"]: one["objects"] for one in folder.read("examples.json")}
    assert truth["AMBER_2.jpg"] == ["cup"]
    files = folder.read("environment.json")["files"]
    assert {path.rsplit("/", 1)[1] for path in files} == {
        "annotations.json",
        "query_all.json",
        "relation.json",
        "safe_words.txt",
    }
    assert "AMBER_2.jpg" in write_report(folder.path).read_text()


def test_conditions_are_chosen_on_other_images(recipe):
    checked = check_recipe(recipe, [*LINES, "data.amber.n=3", VALIDATION]).recipe
    test, validation = (pictures_of(checked, source) for source in (checked.data, checked.choose.data))
    assert (len(test), len(validation)) == (3, 2)
    assert not {one.id for one in test} & {one.id for one in validation}


def test_other_annotations_are_another_run(recipe):
    before = prepare(recipe, LINES).id
    (recipe.parent / "amber" / "data" / "safe_words.txt").write_text("image desk\n")
    assert prepare(recipe, LINES).id != before


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.amber.folder=amber/images", "annotations.json: cannot be read"),
        ("data.amber.images=nowhere", "there is no folder"),
        ("data.amber.n=7", "gives 6 images, 7 are asked for"),
        ("data.amber.data=x", "no such key"),
        ("ask.caption.compat=wordnet", "this is a mode of CHAIR"),
        ("choose={of: all, maximise: f1, data: {scenes: {n: 2, split: validation, seed: 0}}}", "both from AMBER"),
        (VALIDATION.replace("chair_s", "f1"), "no metric 'f1'"),
    ],
)
def test_each_wrong_value_has_its_message(recipe, override, words):
    with pytest.raises(RecipeError) as caught:
        check_recipe(recipe, [*LINES, override])
    assert words in str(caught.value)


def test_a_missing_image_and_an_unknown_object_are_named(recipe):
    amber = recipe.parent / "amber"
    (amber / "images" / "AMBER_3.jpg").unlink()
    with pytest.raises(RecipeError, match=r"names the image AMBER_3.jpg, which .* does not have \(1 of 6"):
        check_recipe(recipe, LINES)
    rows = json.loads((amber / "data" / "annotations.json").read_text())
    rows[0]["hallu"] = ["unicorn"]
    (amber / "data" / "annotations.json").write_text(json.dumps(rows))
    with pytest.raises(RecipeError, match="lack the annotated object 'unicorn'"):
        check_recipe(recipe, LINES)
