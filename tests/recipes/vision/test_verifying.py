"""Captions of which the model denies a part: in a recipe, beside the same asked about the next picture."""

import pytest

from mmsteer.errors import RecipeError
from mmsteer.eval.chair_parser import object_parser
from mmsteer.recipes.experiment import prepare
from mmsteer.recipes.folder import SAMPLES
from mmsteer.recipes.run import run
from tests.recipes.vision.recipe import write_recipe

LINES = [
    "directions=[]",
    "conditions=[{name: 'asked, {t}', sweep: {t: [1.0, -1.0]}, decode: {verify: {least: '{t}'}}}]",
    "ask.caption.prompt=describe the image",
    "ask.caption.tokens=48",
    "ask.pope=~",
    "controls.random=1",
    "data.scenes.n=8",
    "batch=4",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    at = tmp_path_factory.mktemp("verify")
    return run(prepare(write_recipe(at, "bundled:vision"), LINES), at / "run", progress=False)


@pytest.fixture(scope="module")
def lines(folder):
    found = {}
    for line in folder.lines(SAMPLES):
        found.setdefault(line["condition"], []).append(line)
    return found


def test_what_is_denied_is_said_no_more(lines):
    parse = object_parser()
    changed = 0
    for plain, asked in zip(lines["unsteered"], lines["asked, 1.0"], strict=True):
        assert asked["said"] == plain["caption"]
        assert all(reading < 1.0 for reading in asked["denied"].values())
        assert not {one.object for one in parse(asked["caption"])} & asked["denied"].keys()
        assert (asked["caption"] == asked["said"]) == (not asked["denied"])
        changed += bool(asked["denied"])
    assert changed
    assert sum(len(line["denied"]) for line in lines["asked, -1.0"]) < sum(
        len(line["denied"]) for line in lines["asked, 1.0"]
    )


def test_the_control_denies_as_many_objects_of_each_batch_by_the_next_picture(folder, lines):
    own, other = lines["asked, 1.0"], lines["wrong image as asked, 1.0"]
    for start in (0, 4):
        batches = [some[start : start + 4] for some in (own, other)]
        assert len({sum(len(line["denied"]) for line in batch) for batch in batches}) == 1
    assert [line["denied"].keys() for line in own] != [line["denied"].keys() for line in other]
    rows = folder.read("scores.json")["rows"]
    assert "wrong_image" in rows[0]["metrics"]["chair_s"]
    assert rows[0]["decode"] == {"verify": {"least": 1.0, "image": "own", "words": ["Yes", "No"]}}


def test_a_condition_that_is_the_control_itself_has_none(tmp_path):
    one = "conditions=[{name: next, decode: {verify: {least: 0.0, image: next}}}]"
    folder = run(prepare(write_recipe(tmp_path, "bundled:vision"), [*LINES, one]), tmp_path / "run", progress=False)
    assert [row["name"] for row in folder.read("conditions.json")] == ["unsteered", "next"]


def test_answers_that_begin_alike_are_refused_before_anything_is_made(tmp_path):
    one = "conditions=[{name: a, decode: {verify: {least: 0.0, words: ['Yes', 'Yes']}}}]"
    with pytest.raises(RecipeError, match="begin with the same token"):
        prepare(write_recipe(tmp_path, "bundled:vision"), [*LINES, one])
