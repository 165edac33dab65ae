"""Conditions along each picture's own direction: in a recipe, beside those of the next pictures."""

import pytest
import torch

import mmsteer
from mmsteer.data.contrasts import no_image
from mmsteer.direction_file import load_directions
from mmsteer.errors import RecipeError
from mmsteer.probes import MeanDifference, per_image_directions, sweep
from mmsteer.recipes.experiment import prepare
from mmsteer.recipes.folder import CHUNKS, SAMPLES
from mmsteer.recipes.run import run
from mmsteer.recipes.vision.per_image import along_each
from mmsteer.record import record
from mmsteer.steering import Steering, parse_attribute, steer
from mmsteer.types import Sample, Sampling
from mmsteer.worlds.scenes import render_scene, split_scenes
from tests.recipes.vision.recipe import write_recipe

FOUND = "{contrast: no_image, answered: false, seed: 0, demos: {matched: true, scenes: {n: 6, split: demos, seed: 0}}}"
LINES = [
    f"directions.0.data={FOUND}",
    "directions.0.family=seen",
    "conditions=[{name: all, steer: ['seen:yes 0.5']}, {name: each, per_image: own, steer: ['seen:yes 0.5']}]",
    "ask.pope=~",
    "controls.random=1",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, llava_folder):
    at = tmp_path_factory.mktemp("each")
    return run(prepare(write_recipe(at, llava_folder), LINES), at / "run", progress=False)


@pytest.fixture(scope="module")
def adapter(llava_folder):
    return mmsteer.load(str(llava_folder))


@pytest.fixture(scope="module")
def pictures():
    return [
        Sample(f"scene {at}", "describe", (render_scene(one),)) for at, one in enumerate(split_scenes("test", 6, 0))
    ]


def test_each_picture_is_pushed_along_what_it_adds_to_the_prompt_as_far_as_along_the_direction_of_all(
    adapter, pictures
):
    pairs = no_image(pictures)
    read = record(adapter, pairs.samples, positions=pairs.positions, pool=pairs.pool)
    found = sweep(MeanDifference(), read, pairs.labels, groups=pairs.groups, family="seen", task="binary").directions
    one = Steering((parse_attribute("seen:yes 0.1 at generated on text.1", found),))
    each = along_each(adapter, one, pictures)
    own = per_image_directions(read, pairs.labels, pairs.groups, family="image")
    for steering, picture in zip(each, pictures, strict=True):
        (item,) = steering.attributes
        for site, vector in item.direction.vectors.items():
            torch.testing.assert_close(vector, own[picture.id].vectors[site], atol=1e-4, rtol=0)
        assert item.direction.stats == one.attributes[0].direction.stats
        assert (item.strength, item.sites, str(item.positions)) == (0.1, "text.1", "generated")


def test_captions_are_those_along_the_pictures_own_directions_and_in_the_control_the_next_ones(folder, adapter):
    said = {}
    for line in folder.lines(SAMPLES):
        said.setdefault(line["condition"], []).append(line["caption"])
    names = ["unsteered", "all", "each", "random 1 as all", "wrong image as all", "wrong image as each"]
    assert list(said) == names
    assert said["each"] != said["all"]
    assert said["each"] != said["wrong image as each"]
    shown = [
        Sample(str(at), "describe the image", (render_scene(one),)) for at, one in enumerate(split_scenes("test", 5, 0))
    ]
    one = Steering((parse_attribute("seen:yes 0.5", load_directions(folder.path / "directions.safetensors")),))
    for name, after in {"each": 0, "wrong image as each": 1}.items():
        pushed = along_each(adapter, one, [shown[(at + after) % 5] for at in (2, 3)])
        with steer(adapter, pushed):
            made = adapter.generate(shown[2:4], Sampling(8))
        assert [str(one.output).strip() for one in made] == said[name][2:4]


def test_the_control_takes_the_direction_of_the_next_picture(folder, adapter):
    rows = {row["name"]: row for row in folder.read("conditions.json")}
    assert [rows[name]["per_image"] for name in ("all", "each", "wrong image as each")] == [None, "own", "next"]
    assert "wrong_image" in folder.read("scores.json")["rows"][1]["metrics"]["chair_s"]
    receipts = {line["condition"]: line["receipt"] for line in folder.lines(CHUNKS) if line["chunk"] == 0}
    assert receipts["each"]["steps"] == receipts["wrong image as each"]["steps"] > 0
    assert folder.read("doses.json")["each"] == {"factor": None, "kl": None}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [
                f"directions.0.data={FOUND}",
                "ask.pope={splits: [random], seed: 0, answer: text, tokens: 2, parser: strict}",
            ],
            "leave out ask.pope",
        ),
        (
            ["directions.0.data={contrast: mentions, scenes: {n: 4, split: demos, seed: 0}, seed: 0}"],
            "a picture takes the place of directions of `contrast: no_image`",
        ),
        (["conditions.1.calibrate.kl=0.1"], "leave out calibrate"),
        (["conditions.1.steer=[]", "conditions.1.decode.verify.least=0.0"], "per_image says along what lines steer"),
    ],
)
def test_what_no_picture_can_give_is_refused_before_the_model_is_loaded(tmp_path, lines, message):
    with pytest.raises(RecipeError, match=message):
        prepare(write_recipe(tmp_path, "bundled:vision"), [*LINES, *lines])
